// The part of cuBLASLt's interface that a matrix product needs. It is the same in versions 11, 12 and 13.

#include <stddef.h>
#include <stdint.h>

// A matmul is a product of one shape, with the algorithm that cuBLASLt's heuristics chose for it.
typedef struct {
    void *desc, *a, *b, *d; // descriptor and layouts; C is laid out as D
    uint64_t algorithm[8];
    size_t workspace;
} athanor_matmul;

// A shape is what a matmul depends on, column-major as cuBLASLt counts: D = op(A)·op(B), m×n.
typedef struct {
    int transA, transB; // 0 or 1
    int64_t m, n, k, lda, ldb, ldd;
    int in, out; // cudaDataType of A and B, and of C and D
    uint32_t alignA, alignB, alignC, alignD;
} athanor_shape;

// All return a cublasStatus_t, 0 for success.
int athanor_blas_load(const char *path, char *message, size_t size); // 0, or -1 with a message
size_t athanor_blas_version(void);
int athanor_blas_create(void **handle);
int athanor_blas_destroy(void *handle);
int athanor_blas_plan(void *handle, const athanor_shape *s, size_t workspace, athanor_matmul *out);
void athanor_blas_free(athanor_matmul *m);
int athanor_blas_run(void *handle, const athanor_matmul *m, const void *a, const void *b, float beta, const void *c, void *d,
                     void *workspace, size_t size, void *stream);
