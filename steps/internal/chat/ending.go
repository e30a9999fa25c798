package chat

import "errors"

// Ending is what the template writes after the text of an answer: the token that ends the turn, and whatever stands
// between two turns. A reward model reads its score at the last of these.
func (f *Format) Ending() ([]int32, error) {
	c, err := f.Encode([]Message{{Role: User, Content: "a"}, {Role: Assistant, Content: "b"}})
	if err != nil {
		return nil, err
	}
	for i := len(c.IDs) - 1; i >= 0; i-- {
		if c.Answer[i] {
			return c.IDs[i:], nil
		}
	}
	return nil, errors.New("the chat template marks no end of an answer")
}
