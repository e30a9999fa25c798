// Command gen writes the assembly of package simd: for each instruction set a file of matrix kernels and a file of
// vector kernels, the Go declarations of both, and the table that names them.
//
//	go generate ./gpu/cpu/internal/simd
//
// The emitters are written once for all sets. An [isa] says how wide a register is and which instructions differ; a
// function names its registers by number and its parameters by name (emit.go).
package main

import (
	"flag"
	"log"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", ".", "folder to write to")
	flag.Parse()
	for name, text := range files() {
		if err := os.WriteFile(filepath.Join(*dir, name), []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// files returns the text of every generated file.
func files() map[string]string {
	all := map[string]string{}
	for _, set := range []*isa{avx512, avx2} {
		matrix, vector := &file{isa: set, data: set.tailMasks("tail")}, &file{isa: set, data: set.expTable() + set.exp2Table() + set.logTable() + set.tailMasks("seen")}
		emitGemm(matrix)
		if set.wide() {
			emitWide(matrix)
		}
		emitTranspose(matrix)
		emitCopy(matrix)
		emitFetch(matrix)
		emitTiles(matrix)
		emitReductions(vector)
		emitElementwise(vector)
		emitAttention(vector)
		emitHead(vector)
		all["matrix_"+set.name+"_amd64.s"] = matrix.assembly()
		all["vector_"+set.name+"_amd64.s"] = vector.assembly()
		all[set.name+"_amd64.go"] = declarations(set, matrix, vector)
	}
	pairs := &file{isa: avx512bf16, data: interleaveTable}
	emitGemm(pairs)
	emitPairs(pairs)
	all["matrix_"+avx512bf16.name+"_amd64.s"] = pairs.assembly()
	all[avx512bf16.name+"_amd64.go"] = declarations(avx512bf16, pairs)
	return all
}
