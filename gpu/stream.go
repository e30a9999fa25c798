package gpu

import "fmt"

// NoTarget marks a token after which nothing is to be predicted.
const NoTarget = -1

// A Stream is the one shape of a batch: N tokens in a row, cut into S segments. Attention never crosses a segment,
// positions restart in each, and nothing is padded. Pre-training documents, dialogues, preference pairs and rollouts
// are all streams. While a device works on a stream the caller leaves it alone.
type Stream struct {
	IDs       []int32 // [N] token ids
	Positions []int32 // [N] position of each token in its own segment
	Targets   []int32 // [N] the token to predict after this one, or NoTarget
	Starts    []int32 // [S+1] offset of each segment's first token, then N ("cu_seqlens")
}

// Len is N, the number of tokens.
func (s *Stream) Len() int { return len(s.IDs) }

// Segments is S, the number of segments.
func (s *Stream) Segments() int { return max(0, len(s.Starts)-1) }

// Reset empties the stream and keeps its memory.
func (s *Stream) Reset() {
	s.IDs, s.Positions, s.Targets = s.IDs[:0], s.Positions[:0], s.Targets[:0]
	s.Starts = append(s.Starts[:0], 0)
}

// Append adds one segment whose first token has position first (0 but for decoding). targets is as long as ids.
func (s *Stream) Append(ids, targets []int32, first int) {
	if len(ids) != len(targets) {
		panic(fmt.Sprintf("gpu: a segment of %d ids with %d targets", len(ids), len(targets)))
	}
	if len(s.Starts) == 0 {
		s.Starts = append(s.Starts, 0)
	}
	s.IDs = append(s.IDs, ids...)
	s.Targets = append(s.Targets, targets...)
	for i := range ids {
		s.Positions = append(s.Positions, int32(first+i))
	}
	s.Starts = append(s.Starts, int32(len(s.IDs)))
}
