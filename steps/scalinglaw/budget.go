package scalinglaw

import (
	"strconv"
	"strings"
)

// Budget writes a number of FLOPs as a recipe would: 6e+18 as 6e18.
func Budget(c float64) string {
	s := strconv.FormatFloat(c, 'e', -1, 64)
	s = strings.Replace(s, "e+", "e", 1)
	return strings.Replace(s, "e0", "e", 1)
}
