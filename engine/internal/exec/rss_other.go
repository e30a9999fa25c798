//go:build !linux

package exec

import "syscall"

// maxRSS is the largest resident memory of a process in bytes.
func maxRSS(u *syscall.Rusage) int64 { return u.Maxrss }
