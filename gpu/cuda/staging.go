package cuda

import (
	"athanor/gpu/cuda/internal/driver"
)

const (
	segmentSize  = 1 << 20 // bytes of pinned memory in a segment
	segmentCount = 8
)

// staging is the page-locked memory through which numbers go to the GPU and come back. Uploads fill one segment after
// the other; an event marks when the GPU has read a segment, and only a caller that comes round to one that it has not
// yet read must wait.
type staging struct {
	driver   driver.Driver
	segments [segmentCount][]byte
	events   [segmentCount]driver.Event
	current  int
	used     int    // bytes of the current segment
	down     []byte // for downloads
	fetched  [2]struct {
		bytes   []byte // part of a half of down
		arrival driver.Event
	}
}

func (s *staging) open(d driver.Driver) error {
	all, err := d.Pinned(segmentSize * (segmentCount + 1))
	if err != nil {
		return err
	}
	for i := range s.segments {
		s.segments[i] = all[i*segmentSize:][:segmentSize:segmentSize]
	}
	s.down = all[segmentCount*segmentSize:]
	s.driver = d
	return nil
}

// room returns up to so many bytes of the current segment to be filled and sent; at least 16.
func (s *staging) room(bytes int) ([]byte, error) {
	if free := segmentSize - s.used; free < 16 || free < bytes && s.used > segmentSize/2 {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	return s.segments[s.current][s.used:][:min(bytes, segmentSize-s.used)], nil
}

// send uploads what room returned.
func (s *staging) send(dst driver.Ptr, filled []byte) error {
	s.used += int(roundUp(int64(len(filled)), 16))
	return s.driver.Upload(dst, filled)
}

// next marks the current segment and waits until the GPU has read the one after it.
func (s *staging) next() error {
	e, err := s.driver.Record(s.events[s.current])
	if err != nil {
		return err
	}
	s.events[s.current] = e
	s.current, s.used = (s.current+1)%segmentCount, 0
	if s.events[s.current] == nil {
		return nil
	}
	return s.driver.Wait(s.events[s.current])
}

// upload sends n elements of the given size to dst; fill writes the elements [from, to) into bytes.
func (s *staging) upload(dst driver.Ptr, n, size int, fill func(to []byte, from, end int)) error {
	for from := 0; from < n; {
		room, err := s.room((n - from) * size)
		if err != nil {
			return err
		}
		end := from + len(room)/size
		filled := room[:(end-from)*size]
		fill(filled, from, end)
		if err := s.send(dst+driver.Ptr(from*size), filled); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// download waits for n elements of the given size at src; take reads the elements [from, to) from bytes.
func (s *staging) download(src driver.Ptr, n, size int, take func(bytes []byte, from, end int)) error {
	for from := 0; from < n; {
		end := min(n, from+len(s.down)/size)
		part := s.down[:(end-from)*size]
		if err := s.driver.Download(part, src+driver.Ptr(from*size)); err != nil {
			return err
		}
		if err := s.driver.Sync(); err != nil {
			return err
		}
		take(part, from, end)
		from = end
	}
	return nil
}

// halfSize is how many bytes fetch takes.
const halfSize = segmentSize / 2

// fetch queues a download of some bytes, for arrived to wait for. There may be one in each half; nothing else may be
// downloaded in the meantime.
func (s *staging) fetch(half int, src driver.Ptr, bytes int) error {
	f := &s.fetched[half]
	f.bytes = s.down[half*halfSize:][:bytes:halfSize]
	if err := s.driver.Download(f.bytes, src); err != nil {
		return err
	}
	e, err := s.driver.Record(f.arrival)
	if err != nil {
		return err
	}
	f.arrival = e
	return nil
}

// arrived waits for what was fetched, and not for what was queued after it.
func (s *staging) arrived(half int) ([]byte, error) {
	return s.fetched[half].bytes, s.driver.Wait(s.fetched[half].arrival)
}
