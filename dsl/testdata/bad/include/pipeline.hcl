pipeline "q" {}
