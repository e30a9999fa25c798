package journal

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// damaged reports whether an error says that the file is no database, or not a whole one.
func damaged(err error) bool {
	e := (*sqlite.Error)(nil)
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff // without the details
	return code == sqlite3.SQLITE_NOTADB || code == sqlite3.SQLITE_CORRUPT
}

// explain names the file in an error, and the remedy if it is damaged.
func (j *Journal) explain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case damaged(err):
		return fmt.Errorf("%s the journal %s: %w (it is damaged, and holds only history: it may be removed)", doing, j.path, err)
	}
	return fmt.Errorf("%s the journal %s: %w", doing, j.path, err)
}

// replace sets a damaged journal aside and opens a new one. Of several engines that come to it, one does so.
func replace(path string) (j *Journal, err error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // lets go of the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	if j, err = open(path); !damaged(err) { // another has done it
		return j, err
	}
	aside, err := setAside(path)
	if err != nil {
		return nil, err
	}
	if j, err = open(path); err == nil {
		j.SetAside = aside
	}
	return j, err
}

// setAside moves a damaged journal out of the way, with what belongs to it, and returns its new name.
func setAside(path string) (string, error) {
	aside := path + ".damaged"
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s.damaged-%d", path, n)
	}
	for _, end := range []string{"-wal", "-shm", ""} { // the file itself last: killed before, the next engine does it all again
		if err := os.Rename(path+end, aside+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return aside, nil
}

// versionOf is the version of the tables; 0 if there are none.
func versionOf(db interface {
	QueryRow(query string, args ...any) *sql.Row
}) (version int, err error) {
	err = db.QueryRow("PRAGMA user_version").Scan(&version)
	return version, err
}
