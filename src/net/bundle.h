/* bundle.h: named tensors and text in one .safetensors file: weights, models, checkpoints.
 *
 * Format: u64 header length | JSON header | data (safetensors 0.4, README and
 * tensor.rs). Written as the reference implementation writes: header padded by
 * spaces to a multiple of 8, tensors by falling dtype size, then by name. */
#ifndef MQ_BUNDLE_H
#define MQ_BUNDLE_H

#include "base/status.h"

typedef enum { MQ_F32, MQ_BF16, MQ_U8, MQ_I8, MQ_I32, MQ_I64, MQ_DTYPES } mq_dtype;

size_t mq_dtype_size(mq_dtype dtype);      /* bytes */
const char *mq_dtype_name(mq_dtype dtype); /* "f32", "bf16", ... as users read it; static */

enum { MQ_RANK_MAX = 8 };
enum { MQ_BUNDLE_HEADER_MOST = 100000000 }; /* bytes, as in the reference implementation */

typedef struct {
    const char *name;
    mq_dtype dtype;
    size_t rank;
    size_t shape[MQ_RANK_MAX];
    const void *data; /* row-major, little endian */
    size_t bytes;
} mq_tensor;

typedef struct mq_bundle mq_bundle;

/* Reads a file whole into memory of its own (a file replaced later does no harm) and checks every offset.
 * *bundle is the caller's; tensors and texts got from it are borrowed. */
MQ_MUST_USE mq_status mq_bundle_open(mq_err *err, const char *path, mq_bundle **bundle);

/* The same for who needs each tensor once: large kernels of convolutions (f32 of rank 4) stay in the file,
 * which stays open, and their data are NULL: mq_bundle_numbers brings them. It has no digest. */
MQ_MUST_USE mq_status mq_bundle_open_lightly(mq_err *err, const char *path, mq_bundle **bundle);

/* The numbers of a tensor of any bundle, borrowed: where they lie or, if they stayed in the file, read to
 * room (tensor->bytes, the caller's). On any thread. */
MQ_MUST_USE mq_status mq_bundle_numbers(mq_err *err, const mq_bundle *bundle, const mq_tensor *tensor,
                                        void *room, const void **numbers);

/* The same as mq_bundle_open from bytes read elsewhere; what names them in messages. */
MQ_MUST_USE mq_status mq_bundle_parse(mq_err *err, const char *what, const void *bytes, size_t size,
                                      mq_bundle **bundle);
void mq_bundle_free(mq_bundle **bundle);

/* Leaves only the tensors whose names begin with prefix, under the rest of their names. */
void mq_bundle_narrow(mq_bundle *bundle, const char *prefix);

const char *mq_bundle_path(const mq_bundle *bundle);
size_t mq_bundle_count(const mq_bundle *bundle);
const mq_tensor *mq_bundle_at(const mq_bundle *bundle, size_t index);       /* in the order of the file */
const mq_tensor *mq_bundle_find(const mq_bundle *bundle, const char *name); /* NULL when there is none */
void *mq_bundle_data(mq_bundle *bundle,
                     const char *name); /* a tensor's numbers, to be changed; NULL when there is none */

/* Moves a tensor's numbers to memory of the caller's, which must stay until it is told to move them back
 * (NULL): whoever works on them has them once. */
void mq_bundle_move(mq_bundle *bundle, const char *name, void *to);

const char *mq_bundle_meta(const mq_bundle *bundle, const char *key); /* NULL when there is none */

/* Metadata under this key are the hashes of all tensors (hash.h), one behind the other in the order of the
 * file. Whoever writes the key gets them, whatever text it gives. In a file that has them each tensor's
 * numbers are held against its hash when they are read: MQ_BAD_DATA. */
#define MQ_BUNDLE_SEAL "marque.seal"

/* A pair of metadata texts (UTF-8). */
typedef struct {
    const char *key, *value;
} mq_meta;

/* All of them; *list is the caller's, for free(), what it points to borrowed. */
MQ_MUST_USE mq_status mq_bundle_metas(mq_err *err, const mq_bundle *bundle, mq_meta **list, size_t *count);

/* SHA-256 hex of the whole file, computed when it is first asked for: by one thread then. NULL: opened
 * lightly. */
const char *mq_bundle_digest(const mq_bundle *bundle);

/* count numbers as a tensor of rank 1, to be written; borrowed. */
mq_tensor mq_tensor_row(const char *name, const float *numbers, size_t count);

/* Writes a file atomically; everything is borrowed. */
MQ_MUST_USE mq_status mq_bundle_write(mq_err *err, const char *path, const mq_tensor *tensors, size_t count,
                                      const mq_meta *meta, size_t meta_count);

#endif
