package gpu

// A Precision is how a device computes the large matrix products: those of Linear, LinearBackwardInput,
// LinearBackwardWeight, LMHead and LMHeadBackward. Whatever it is, tensors keep their type, sums are float32 and so is
// everything else that the operators compute. [Device.Storage] says in which type a model should keep its tensors.
type Precision string

const (
	// Float32 multiplies float32 numbers.
	Float32 Precision = "float32"
	// BFloat16 rounds both factors of every product to bfloat16 first (to nearest, ties to even; numbers below 2⁻¹²⁶ may
	// become zero), and adds up the exact products in float32. Weights, gradients and moments stay float32: it is what
	// others call mixed precision (arXiv 1905.12322).
	BFloat16 Precision = "bfloat16"
)
