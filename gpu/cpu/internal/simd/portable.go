package simd

// portable is the set in plain Go.
var portable = Kernels{
	Name: "portable", MR: portableMR, NR: portableNR,

	Gemm: portableGemm(), RowsGemm: rowsGemmPortable, PackA: packGemmPortable(true, false), PackB: packGemmPortable(false, true), PackBoth: packGemmPortable(true, true), FewColumns: fewColumnsPortable, FewRows: portableMR, Few: portableNR, Probe: probePortable, Transpose: transposePortable, Split: splitPortable, Fetch: func([]float32, int, int, int) {},
	Dot: dotPortable, DotRows: dotRowsPortable, DotBlock: dotBlockPortable, DotBlockRows: portableDotRows, AddRows: addRowsPortable,
	Add: addPortable, Scale: scalePortable, Max: maxPortable,
	ScaleMul: scaleMulPortable, NormBackward: normBackwardPortable, Dot3: dot3Portable,
	Rotate: rotatePortable, SwiGLU: swigluPortable, SwiGLUBackward: swigluBackwardPortable,
	ExpSum: expSumPortable, AdamW: adamWPortable,
	Tile: portableTiles(false), Turned: portableTiles(true), RowMax: rowMaxPortable, RowExp: rowExpPortable, RowScale: rowScalePortable, LogSum: logSumPortable,
	Wedge: wedgePortable, TurnedWedge: turnedWedgePortable, Scores: scoresPortable, Ahead: 1, ScoreBackward: scoreBackwardPortable, RowDot: rowDotPortable,
	ColumnExp: columnExpPortable, ColumnScale: columnScalePortable,
	Pairs: &portablePairs,
}
