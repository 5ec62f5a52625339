/* dtype.c: sizes and names of number formats (declared in bundle.h). */
#include "net/bundle.h"

size_t mq_dtype_size(mq_dtype dtype) {
    static const size_t sizes[MQ_DTYPES] = {4, 2, 1, 1, 4, 8};
    return sizes[dtype];
}

const char *mq_dtype_name(mq_dtype dtype) {
    static const char *const names[MQ_DTYPES] = {"f32", "bf16", "u8", "int8", "i32", "i64"};
    return names[dtype];
}
