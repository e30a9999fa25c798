package exec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// DiskFull reports whether an error means that a disk or a quota is used up.
func DiskFull(err error) bool {
	return err != nil && (errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || diskFullText(err.Error()))
}

// diskFullText recognises the same in what another process, or the journal's database, says.
func diskFullText(text string) bool {
	for _, sign := range []string{unix.ENOSPC.Error(), unix.EDQUOT.Error(), "database or disk is full"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// RoomAdvice says how much room there is on the disk that holds dir, and how to get more.
func RoomAdvice(dir string) string {
	room := ""
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) { // the folder itself may not have been made
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) == nil {
			free, size := float64(fs.Bavail)*float64(fs.Bsize), float64(fs.Blocks)*float64(fs.Bsize)
			room = fmt.Sprintf("The file system of %s has %.0f of %.0f MiB free. ", dir, free/(1<<20), size/(1<<20))
		}
		break
	}
	return room + "Make room (engine store gc removes results that the pipeline no longer needs), or put the state elsewhere with " +
		"--state, and run again: finished steps and checkpoints are kept."
}
