package exec

import "syscall"

// maxRSS is the largest resident memory of a process in bytes. Linux counts it in KiB.
func maxRSS(u *syscall.Rusage) int64 { return u.Maxrss << 10 }
