package train

// A Spread chooses a part of some documents that is the same each time: at most Most of the Have units (tokens, bytes)
// that they hold, evenly over their order. It takes whole documents; of one that is much longer than its share it takes
// the beginning, if that is worth reading or nothing else comes.
type Spread struct {
	Have, Most int64
	Piece      int64 // fewest units of a beginning that are worth reading

	passed, taken int64
}

// Take says how many units to take of the next document, which has length of them: 0 for none.
func (s *Spread) Take(length int64) int64 {
	s.passed += length
	share := min(1, float64(s.Most)/float64(s.Have))
	due := int64(share*float64(s.passed)) - s.taken
	take := int64(0)
	switch {
	case 2*due >= length:
		take = min(length, s.Most-s.taken)
	case due >= s.Piece:
		take = due
	case s.passed >= s.Have: // the last document: nothing better comes
		take = due
	}
	s.taken += take
	return take
}
