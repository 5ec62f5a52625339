/* h5.h: the little of HDF5 that weights need, from memory, with everything
 * else refused: links and data outside the file, virtual data sets, filters
 * but deflate, shuffle and fletcher32. The only header that names HDF5. */
#ifndef MQ_CONVERT_H5_H
#define MQ_CONVERT_H5_H

#include "base/buf.h"
#include "convert/expected.h"

typedef struct mq_h5 mq_h5;

/* A list of texts. */
typedef struct {
    char **items; /* owned */
    size_t count, capacity;
} mq_texts;

void mq_texts_free(mq_texts *texts);
MQ_MUST_USE mq_status mq_texts_add(mq_err *err, mq_texts *texts, const char *text); /* text is copied */

/* Opens the image of a file, which it empties; what names it in messages and is borrowed. */
MQ_MUST_USE mq_status mq_h5_open(mq_err *err, const char *what, mq_buf *image, mq_h5 **file);
void mq_h5_free(mq_h5 **file);

/* The name for messages that it was opened with; borrowed. */
const char *mq_h5_what(const mq_h5 *file);

/* Whether a group stands at path ("" is the root). A link on the way out of the file is an error. */
MQ_MUST_USE mq_status mq_h5_has_group(mq_err *err, mq_h5 *file, const char *path, bool *has);

/* The names in a group, sorted by their bytes. */
MQ_MUST_USE mq_status mq_h5_list(mq_err *err, mq_h5 *file, const char *path, mq_texts *names);

/* Appends the texts of an attribute of a group: one, an array, or Keras' NAME0, NAME1, ... of a long one.
 * *found is false where there is none of these. */
MQ_MUST_USE mq_status mq_h5_texts(mq_err *err, mq_h5 *file, const char *path, const char *name,
                                  mq_texts *texts, bool *found);

/* The shape of a data set; *has is false where none stands at path. */
MQ_MUST_USE mq_status mq_h5_shape(mq_err *err, mq_h5 *file, const char *path, mq_expected_param *shape,
                                  bool *has);

/* Reads a data set of exactly this shape as f32 into values (wanted->count): f16 exactly, f64 rounded. NaN,
 * infinity and what f32 cannot hold are refused. */
MQ_MUST_USE mq_status mq_h5_read(mq_err *err, mq_h5 *file, const char *path, const mq_expected_param *wanted,
                                 float *values);

#endif
