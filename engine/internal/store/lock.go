//go:build unix

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// A Holder says who works on a key.
type Holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

func (h Holder) String() string {
	return fmt.Sprintf("process %d on %s (%s, since %s)", h.PID, h.Host, h.Command, h.Since.Local().Format("15:04:05"))
}

// A Lock is the right to work on a key. It belongs to the open file, not to the process: a worker that inherits File
// keeps the key locked when its engine is killed, and the kernel lets go when the last of them has ended.
type Lock struct{ file *fileLock }

// Lock waits until nobody else works on key. If somebody does, waiting is called once with who it is.
func (s *Store) Lock(ctx context.Context, key string, waiting func(Holder)) (*Lock, error) {
	f, err := os.OpenFile(s.path("locks", key), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	for try, told := 0, false; ; try++ {
		err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", f.Name(), err), f.Close())
		}
		// Who has just got the lock may not have written its name yet, and that of an earlier holder may stand there.
		if try > 0 && !told && waiting != nil {
			waiting(readHolder(f))
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(50 * time.Millisecond):
		}
	}
	host, _ := os.Hostname()
	data, err := json.Marshal(Holder{PID: os.Getpid(), Host: host, Command: strings.Join(os.Args, " "), Since: time.Now()})
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Lock{&fileLock{f}}, nil
}

// File is what a worker inherits.
func (l *Lock) File() *os.File { return l.file.f }

// Unlock lets go, unless a worker that inherited the lock is still alive.
func (l *Lock) Unlock() error { return l.file.close() }

func readHolder(f *os.File) Holder {
	var h Holder
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<16))
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{Command: "unknown"} // it has the lock and has not written its name yet
	}
	return h
}

// errInUse is returned by lockAlone when another process has the file locked.
var errInUse = errors.New("in use by another engine")

type fileLock struct{ f *os.File }

func lockShared(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	// Only GC locks this file alone, and not for long.
	if err := flock(f, syscall.LOCK_SH); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &fileLock{f}, nil
}

// alone turns a shared lock into an exclusive one, or fails at once.
func (l *fileLock) alone() error {
	err := flock(l.f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		// The kernel may have dropped the shared lock while it tried.
		return errors.Join(errInUse, flock(l.f, syscall.LOCK_SH))
	}
	return err
}

func (l *fileLock) shared() error { return flock(l.f, syscall.LOCK_SH) }

func (l *fileLock) close() error { return l.f.Close() }

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
