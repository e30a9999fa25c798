//go:build cuda

#include "blas.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

// What cublasLt.h calls them.
enum {
    COMPUTE_32F = 68,
    R_32F = 0,
    DESC_TRANSA = 3,
    DESC_TRANSB = 4,
    PREF_MAX_WORKSPACE_BYTES = 1,
    PREF_REDUCTION_SCHEME_MASK = 3,
    PREF_MIN_ALIGNMENT_A_BYTES = 5, // then B, C, D
    REDUCTION_SCHEME_COMPUTE_TYPE = 2,
    STATUS_NOT_SUPPORTED = 15,
};

typedef struct {
    uint64_t algorithm[8];
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
} heuristic;

static struct {
    size_t (*GetVersion)(void);
    int (*Create)(void **);
    int (*Destroy)(void *);
    int (*MatmulDescCreate)(void **, int, int);
    int (*MatmulDescDestroy)(void *);
    int (*MatmulDescSetAttribute)(void *, int, const void *, size_t);
    int (*MatrixLayoutCreate)(void **, int, uint64_t, uint64_t, int64_t);
    int (*MatrixLayoutDestroy)(void *);
    int (*MatmulPreferenceCreate)(void **);
    int (*MatmulPreferenceDestroy)(void *);
    int (*MatmulPreferenceSetAttribute)(void *, int, const void *, size_t);
    int (*MatmulAlgoGetHeuristic)(void *, void *, void *, void *, void *, void *, void *, int, heuristic *, int *);
    int (*Matmul)(void *, void *, const void *, const void *, void *, const void *, void *, const void *, const void *, void *,
                  void *, void *, const void *, void *, size_t, void *);
} lt;

int athanor_blas_load(const char *path, char *message, size_t size) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        snprintf(message, size, "%s", dlerror());
        return -1;
    }
#define FIND(name) \
    *(void **)&lt.name = dlsym(library, "cublasLt" #name); \
    if (lt.name == NULL) { \
        snprintf(message, size, "%s has no function cublasLt" #name, path); \
        dlclose(library); \
        return -1; \
    }
    FIND(GetVersion)
    FIND(Create)
    FIND(Destroy)
    FIND(MatmulDescCreate)
    FIND(MatmulDescDestroy)
    FIND(MatmulDescSetAttribute)
    FIND(MatrixLayoutCreate)
    FIND(MatrixLayoutDestroy)
    FIND(MatmulPreferenceCreate)
    FIND(MatmulPreferenceDestroy)
    FIND(MatmulPreferenceSetAttribute)
    FIND(MatmulAlgoGetHeuristic)
    FIND(Matmul)
    return 0;
}

size_t athanor_blas_version(void) { return lt.GetVersion(); }
int athanor_blas_create(void **handle) { return lt.Create(handle); }
int athanor_blas_destroy(void *handle) { return lt.Destroy(handle); }

// describe makes the descriptor and the layouts.
static int describe(const athanor_shape *s, athanor_matmul *m) {
    int32_t transA = s->transA, transB = s->transB;
    uint64_t rowsA = s->transA ? s->k : s->m, colsA = s->transA ? s->m : s->k;
    uint64_t rowsB = s->transB ? s->n : s->k, colsB = s->transB ? s->k : s->n;
    int e = lt.MatmulDescCreate(&m->desc, COMPUTE_32F, R_32F);
    if (!e) e = lt.MatmulDescSetAttribute(m->desc, DESC_TRANSA, &transA, sizeof transA);
    if (!e) e = lt.MatmulDescSetAttribute(m->desc, DESC_TRANSB, &transB, sizeof transB);
    if (!e) e = lt.MatrixLayoutCreate(&m->a, s->in, rowsA, colsA, s->lda);
    if (!e) e = lt.MatrixLayoutCreate(&m->b, s->in, rowsB, colsB, s->ldb);
    if (!e) e = lt.MatrixLayoutCreate(&m->d, s->out, s->m, s->n, s->ldd);
    return e;
}

// choose asks the heuristics for an algorithm. One that splits the sum keeps its parts in float32: left alone, cuBLASLt may
// round each to the result's bfloat16.
static int choose(void *handle, const athanor_shape *s, size_t workspace, athanor_matmul *m) {
    void *preference = NULL;
    const uint32_t reduction = REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint32_t alignment[4] = {s->alignA, s->alignB, s->alignC, s->alignD};
    int e = lt.MatmulPreferenceCreate(&preference);
    if (!e) e = lt.MatmulPreferenceSetAttribute(preference, PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (!e) e = lt.MatmulPreferenceSetAttribute(preference, PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction);
    for (int i = 0; i < 4 && !e; i++)
        e = lt.MatmulPreferenceSetAttribute(preference, PREF_MIN_ALIGNMENT_A_BYTES + i, &alignment[i], sizeof alignment[i]);
    heuristic found;
    int count = 0;
    if (!e) e = lt.MatmulAlgoGetHeuristic(handle, m->desc, m->a, m->b, m->d, m->d, preference, 1, &found, &count);
    if (!e && count == 0) e = STATUS_NOT_SUPPORTED;
    if (!e) e = found.status;
    if (!e) {
        memcpy(m->algorithm, found.algorithm, sizeof m->algorithm);
        m->workspace = found.workspace;
    }
    if (preference != NULL) lt.MatmulPreferenceDestroy(preference);
    return e;
}

int athanor_blas_plan(void *handle, const athanor_shape *s, size_t workspace, athanor_matmul *out) {
    memset(out, 0, sizeof *out);
    int e = describe(s, out);
    if (!e) e = choose(handle, s, workspace, out);
    if (e) athanor_blas_free(out);
    return e;
}

void athanor_blas_free(athanor_matmul *m) {
    if (m->a != NULL) lt.MatrixLayoutDestroy(m->a);
    if (m->b != NULL) lt.MatrixLayoutDestroy(m->b);
    if (m->d != NULL) lt.MatrixLayoutDestroy(m->d);
    if (m->desc != NULL) lt.MatmulDescDestroy(m->desc);
    memset(m, 0, sizeof *m);
}

int athanor_blas_run(void *handle, const athanor_matmul *m, const void *a, const void *b, float beta, const void *c, void *d,
                     void *workspace, size_t size, void *stream) {
    const float alpha = 1;
    return lt.Matmul(handle, m->desc, &alpha, a, m->a, b, m->b, &beta, c, m->d, d, m->d, m->algorithm, workspace, size, stream);
}
