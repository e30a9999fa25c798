package dsl

import (
	"reflect"
	"sync"

	"github.com/zclconf/go-cty/cty"
)

// artifactTypes holds one capsule type per kind: capsule types are equal only when they are the same pointer.
var artifactTypes sync.Map

// ArtifactType is the type of the values that stand for artifacts of a kind. Its friendly name is the kind.
func ArtifactType(kind string) cty.Type {
	if t, ok := artifactTypes.Load(kind); ok {
		return t.(cty.Type)
	}
	same := func(a, b any) bool {
		x, y := a.(*Artifact), b.(*Artifact)
		return x.Kind == y.Kind && x.Digest == y.Digest
	}
	t := cty.CapsuleWithOps(kind, reflect.TypeFor[Artifact](), &cty.CapsuleOps{
		GoString:     func(v any) string { return "artifact " + v.(*Artifact).Kind + " " + v.(*Artifact).Digest },
		TypeGoString: func(reflect.Type) string { return "dsl.ArtifactType(" + kind + ")" },
		Equals:       func(a, b any) cty.Value { return cty.BoolVal(same(a, b)) },
		RawEquals:    same,
		HashKey:      func(v any) string { return v.(*Artifact).Digest },
	})
	stored, _ := artifactTypes.LoadOrStore(kind, t)
	return stored.(cty.Type)
}

// ArtifactVal is the value of an artifact.
func ArtifactVal(a Artifact) cty.Value { return cty.CapsuleVal(ArtifactType(a.Kind), &a) }

// AsArtifact is the artifact in a value, if it is a known one.
func AsArtifact(v cty.Value) (Artifact, bool) {
	v, _ = v.Unmark()
	if !isArtifactType(v.Type()) || !v.IsKnown() || v.IsNull() {
		return Artifact{}, false
	}
	return *v.EncapsulatedValue().(*Artifact), true
}

func isArtifactType(t cty.Type) bool {
	return t.IsCapsuleType() && t.EncapsulatedType() == reflect.TypeFor[Artifact]()
}
