#include "kernels/cpu/onednn.h"
#include "kernels/bfloat16.h"
#include "kernels/cpu/fast_bf16.h"

#ifdef MT_ONEDNN

#include <dlfcn.h>
#include <dnnl.h>
#include <pthread.h>
#include <string.h>

#define LIBRARY MT_ONEDNN

#if DNNL_VERSION_MAJOR >= 3
#define EACH_FUNCTION_OF_VERSION(X)                                                                \
    X(dnnl_memory_desc_create_with_strides)                                                        \
    X(dnnl_memory_desc_destroy)                                                                    \
    X(dnnl_matmul_primitive_desc_create)
typedef dnnl_memory_desc_t description;
#else
#define EACH_FUNCTION_OF_VERSION(X)                                                                \
    X(dnnl_memory_desc_init_by_strides)                                                            \
    X(dnnl_matmul_desc_init)                                                                       \
    X(dnnl_primitive_desc_create)
typedef dnnl_memory_desc_t description;
#endif

#define EACH_FUNCTION(X)                                                                           \
    EACH_FUNCTION_OF_VERSION(X)                                                                    \
    X(dnnl_engine_create)                                                                          \
    X(dnnl_stream_create)                                                                          \
    X(dnnl_stream_destroy)                                                                         \
    X(dnnl_memory_create)                                                                          \
    X(dnnl_memory_destroy)                                                                         \
    X(dnnl_post_ops_create)                                                                        \
    X(dnnl_post_ops_destroy)                                                                       \
    X(dnnl_post_ops_append_sum)                                                                    \
    X(dnnl_primitive_attr_create)                                                                  \
    X(dnnl_primitive_attr_destroy)                                                                 \
    X(dnnl_primitive_attr_set_post_ops)                                                            \
    X(dnnl_primitive_desc_destroy)                                                                 \
    X(dnnl_primitive_create)                                                                       \
    X(dnnl_primitive_destroy)                                                                      \
    X(dnnl_primitive_execute)

/* oneDNN's functions, and those by which OpenMP is told how many threads the caller may take. */
static struct {
#define MEMBER(name) __typeof__(name) *name;
    EACH_FUNCTION(MEMBER)
    int (*omp_get_max_threads)(void);
    void (*omp_set_num_threads)(int);
} library;

static dnnl_engine_t engine;
static const char *lacks;

static bool find(void *handle, const char *name, void *function)
{
    void *found = dlsym(handle, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

static bool find_all(void *handle)
{
    bool all = true;
#define FIND(name) all = all && find(handle, #name, (void *)&library.name);
    EACH_FUNCTION(FIND)
    return all && find(handle, "omp_get_max_threads", (void *)&library.omp_get_max_threads) &&
           find(handle, "omp_set_num_threads", (void *)&library.omp_set_num_threads);
}

/* What a product is made of; a member that oneDNN could not make is NULL. */
typedef struct parts {
    dnnl_post_ops_t sum;
    dnnl_primitive_attr_t attributes;
    dnnl_primitive_desc_t kind;
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    dnnl_memory_t a, b, c;
} parts;

static void destroy(const parts *made)
{
    library.dnnl_memory_destroy(made->a);
    library.dnnl_memory_destroy(made->b);
    library.dnnl_memory_destroy(made->c);
    library.dnnl_stream_destroy(made->stream);
    library.dnnl_primitive_destroy(made->primitive);
    library.dnnl_primitive_desc_destroy(made->kind);
    library.dnnl_primitive_attr_destroy(made->attributes);
    library.dnnl_post_ops_destroy(made->sum);
}

/* The attributes by which a product is added to what is there. */
static bool make_attributes(parts *made)
{
    return library.dnnl_primitive_attr_create(&made->attributes) == dnnl_success &&
           library.dnnl_post_ops_create(&made->sum) == dnnl_success &&
#if DNNL_VERSION_MAJOR >= 3
           library.dnnl_post_ops_append_sum(made->sum, 1.0f, 0, dnnl_data_type_undef) ==
               dnnl_success &&
#else
           library.dnnl_post_ops_append_sum(made->sum, 1.0f) == dnnl_success &&
#endif
           library.dnnl_primitive_attr_set_post_ops(made->attributes, made->sum) == dnnl_success;
}

static bool describe(description *made, int64_t rows, int64_t columns, dnnl_data_type_t type,
                     int64_t row, int64_t column)
{
    const dnnl_dims_t sizes = {rows, columns}, steps = {row, column};
#if DNNL_VERSION_MAJOR >= 3
    return library.dnnl_memory_desc_create_with_strides(made, 2, sizes, type, steps) ==
           dnnl_success;
#else
    return library.dnnl_memory_desc_init_by_strides(made, 2, sizes, type, steps) == dnnl_success;
#endif
}

static bool make_kind(parts *made, const description *a, const description *b, const description *c)
{
#if DNNL_VERSION_MAJOR >= 3
    return library.dnnl_matmul_primitive_desc_create(&made->kind, engine, *a, *b, NULL, *c,
                                                     made->attributes) == dnnl_success;
#else
    dnnl_matmul_desc_t product;
    return library.dnnl_matmul_desc_init(&product, a, b, NULL, c) == dnnl_success &&
           library.dnnl_primitive_desc_create(&made->kind, &product, made->attributes, engine,
                                              NULL) == dnnl_success;
#endif
}

static bool make_memory(dnnl_memory_t *made, const description *of, const void *at)
{
    void *writable = (void *)(uintptr_t)at;
#if DNNL_VERSION_MAJOR >= 3
    return library.dnnl_memory_create(made, *of, engine, writable) == dnnl_success;
#else
    return library.dnnl_memory_create(made, of, engine, writable) == dnnl_success;
#endif
}

/* Descriptions are cheap, and oneDNN keeps the code that it made for products of one shape. */
static bool multiply(const mt_product *of, parts *made)
{
    description a, b, c;
    bool described = describe(&a, of->M, of->K, dnnl_bf16, of->a_row, of->a_column) &&
                     describe(&b, of->K, of->N, dnnl_bf16, of->b_row, of->b_column) &&
                     describe(&c, of->M, of->N, of->wide ? dnnl_f32 : dnnl_bf16, of->c_row, 1);
    bool ready = described && (of->beta == 0.0 || make_attributes(made)) &&
                 make_kind(made, &a, &b, &c) &&
                 library.dnnl_primitive_create(&made->primitive, made->kind) == dnnl_success &&
                 library.dnnl_stream_create(&made->stream, engine, dnnl_stream_default_flags) ==
                     dnnl_success &&
                 make_memory(&made->a, &a, of->a) && make_memory(&made->b, &b, of->b) &&
                 make_memory(&made->c, &c, of->c);
#if DNNL_VERSION_MAJOR >= 3
    if (described) {
        library.dnnl_memory_desc_destroy(a);
        library.dnnl_memory_desc_destroy(b);
        library.dnnl_memory_desc_destroy(c);
    }
#endif
    const dnnl_exec_arg_t arrays[] = {
        {DNNL_ARG_SRC, made->a}, {DNNL_ARG_WEIGHTS, made->b}, {DNNL_ARG_DST, made->c}};
    return ready &&
           library.dnnl_primitive_execute(made->primitive, made->stream, 3, arrays) == dnnl_success;
}

mt_status mt_onednn_multiply(const mt_product *product)
{
    parts made = {0};
    int threads = library.omp_get_max_threads();
    library.omp_set_num_threads(1);
    bool done = multiply(product, &made);
    destroy(&made);
    library.omp_set_num_threads(threads);
    return done ? MT_OK : mt_fail(MT_ERROR_DEVICE, "cpu: oneDNN failed to multiply");
}

/* Tells if it multiplies at all: it may have been built, or told, to use fewer instructions. */
static bool is_able(void)
{
    const mt_bf16 one = {0x3F80};
    float result = 0.0f;
    const mt_product product = {.M = 1,
                                .N = 1,
                                .K = 1,
                                .a = &one,
                                .b = &one,
                                .a_row = 1,
                                .a_column = 1,
                                .b_row = 1,
                                .b_column = 1,
                                .c_row = 1,
                                .c = &result,
                                .wide = true};
    return mt_onednn_multiply(&product) == MT_OK && result == 1.0f;
}

static void load(void)
{
    lacks = mt_cpu_lacks_fast_bf16();
    if (lacks != NULL) {
        return;
    }
    void *handle = dlopen(LIBRARY, RTLD_NOW);
    if (handle == NULL) {
        lacks = "oneDNN is not installed (" LIBRARY ")";
    } else if (!find_all(handle) ||
               library.dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success || !is_able()) {
        lacks = "the oneDNN that is installed does not have them, or not here (" LIBRARY ")";
    }
}

const char *mt_onednn_lacks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return lacks;
}

#else

const char *mt_onednn_lacks(void)
{
    return "this build has no oneDNN";
}

mt_status mt_onednn_multiply(const mt_product *product)
{
    (void)product;
    return mt_fail(MT_ERROR_DEVICE, "cpu: this build has no oneDNN");
}

#endif
