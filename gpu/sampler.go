package gpu

// A Draw says how a token is drawn from a row of logits z. Of two tokens the one with the greater logit is the likelier, of
// equals the one with the lower id. A token weighs e^(z/Temperature), and those are kept that both TopK and TopP leave.
type Draw struct {
	Temperature float64 // 0: the likeliest token, whatever else is asked for
	TopK        int     // only so many of the likeliest; 0: all
	TopP        float64 // only the fewest of the likeliest that have this share of the weight of all; 0 or 1: all
	Uniform     float64 // in [0, 1): the token drawn is where the weights kept, added up in the order of ids, pass this share of their sum
}

// A Sampler is a device that can draw tokens where the logits are, so that only tokens come to the host. A device need not
// have it.
type Sampler interface {
	// Sample draws one token from each row of logits [n, V], which are float32, and its log-probability among those kept;
	// at temperature 0 among all, at temperature 1. The id is -1, and the log-probability 0, where a logit is not a number
	// or the greatest is infinite. ids, logp and draws are n long.
	//
	// Sums are float64: only where Uniform or TopP meets the end of a token's share to within their rounding may two devices
	// draw different tokens.
	Sample(ids []int32, logp []float64, logits Tensor, draws []Draw) error
}
