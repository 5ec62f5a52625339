/* main.c: marque-convert, a process of its own for weights files of others.
 *
 *   marque-convert FILE < EXPECTED.json | ...
 *
 * marque starts it, reads its stream and checks every byte of it again. On
 * failure it writes one sentence on stderr and exits with its mq_status.
 * Invariant: whatever the file makes it do, it can neither write a file, nor
 * take more than its share of memory and time. */
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "convert/archive.h"
#include "convert/contents.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LIST_LIMIT = 16 << 20, CONFIG_LIMIT = 64 << 20, FILE_LIMIT = 640 << 20 };

/* stdout must be a pipe: no file may grow. */
static const mq_process_limits limits = {
    .program = "marque-convert", .memory = (uint64_t)2 << 30, .seconds = 60, .files = 16};

/* HDF5 itself leaks where it gives up on a damaged file; what is ours must not. Read by the leak sanitizer.
 */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5";
}

/* Which library it is needs no names of functions, for which each leak would have all debug data read: 0.6 s.
 */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "symbolize=0";
}

static mq_status read_expected(mq_err *err, mq_expected *expected) {
    mq_status status = MQ_OK;
    mq_buf text = mq_buf_init(LIST_LIMIT);
    char block[4096];
    for (ssize_t n; (n = read(STDIN_FILENO, block, sizeof block)) > 0;)
        MQ_TRY(mq_buf_add(err, &text, block, (size_t)n));
    MQ_REQUIRE(text.size, err, MQ_USAGE,
               "marque-convert belongs to marque: it wants the list of expected tensors on stdin");
    MQ_TRY(mq_expected_parse(err, text.data, text.size, expected));
cleanup:
    mq_buf_free(&text);
    return status;
}

/* What is open while a file is converted. */
typedef struct {
    const char *path;
    mq_expected expected;
    mq_h5 *h5;
    mq_contents contents;
    char *keras_version; /* NULL: the file does not tell */
    const char **paths;  /* of all parameters in the file */
} conversion;

static mq_status keep_version(mq_err *err, conversion *c, const char *version) {
    return version && !c->keras_version ? mq_strdup(err, version, &c->keras_version) : MQ_OK;
}

/* A .keras file: config.json for the names, model.weights.h5 for the numbers. */
static mq_status open_archive(mq_err *err, conversion *c) {
    mq_status status = MQ_OK;
    mq_archive *archive = NULL;
    mq_buf text = mq_buf_init(CONFIG_LIMIT), image = mq_buf_init(FILE_LIMIT);
    mq_json *config = NULL, *metadata = NULL;
    bool has = false;
    MQ_TRY(mq_archive_open(err, c->path, &archive));
    MQ_TRY(mq_archive_read(err, archive, "metadata.json", &text, &has));
    if (has && text.size) {
        MQ_TRY(mq_json_parse(err, c->path, text.data, text.size, &metadata));
        MQ_TRY(keep_version(err, c, mq_json_string(mq_json_get(metadata, "keras_version"))));
    }
    mq_buf_clear(&text);
    MQ_TRY(mq_archive_read(err, archive, "config.json", &text, &has));
    MQ_REQUIRE(has && text.size, err, MQ_BAD_DATA, "%s: a zip file, but no Keras model (no config.json)",
               c->path);
    MQ_TRY(mq_json_parse(err, c->path, text.data, text.size, &config));
    MQ_TRY(mq_archive_read(err, archive, "model.weights.h5", &image, &has));
    MQ_REQUIRE(has && image.size, err, MQ_BAD_DATA,
               "%s: has no model.weights.h5; save the model again with Keras' model.save(\"name.keras\")",
               c->path);
    MQ_TRY(mq_h5_open(err, c->path, &image, &c->h5));
    c->contents.format = "keras 3 .keras";
    MQ_TRY(mq_contents_keras3(err, c->h5, config, &c->contents));
cleanup:
    mq_archive_free(&archive);
    mq_buf_free(&text);
    mq_buf_free(&image);
    mq_json_free(&config);
    mq_json_free(&metadata);
    return status;
}

/* Keras' own rule: the layers are listed at the root, or all of it lies below model_weights. */
static mq_status find_legacy(mq_err *err, mq_h5 *h5, const char **root) {
    static const char whole[] = "/model_weights";
    mq_status status = MQ_OK;
    mq_texts names = {0};
    bool listed = false, has = false;
    *root = "";
    MQ_TRY(mq_h5_texts(err, h5, "", "layer_names", &names, &listed));
    if (!listed) MQ_TRY(mq_h5_has_group(err, h5, whole, &has));
    if (has) *root = whole;
cleanup:
    mq_texts_free(&names);
    return status;
}

/* Theano convolves where all others correlate: its kernels are turned, and nothing in them shows it. */
static mq_status check_backend(mq_err *err, const conversion *c, const char *root) {
    mq_status status = MQ_OK;
    mq_texts backend = {0};
    bool told = false;
    MQ_TRY(mq_h5_texts(err, c->h5, root, "backend", &backend, &told));
    MQ_REQUIRE(
        backend.count != 1 || strcmp(backend.items[0], "theano") != 0, err, MQ_BAD_DATA,
        "%s: was saved by Keras on Theano, whose kernels are turned by 180 degrees; load it in Keras on "
        "TensorFlow and save it again",
        c->path);
cleanup:
    mq_texts_free(&backend);
    return status;
}

/* An .h5 file: Keras 3's layout where its folder is there and no list of layers, else the legacy one. */
static mq_status open_h5(mq_err *err, conversion *c) {
    mq_status status = MQ_OK;
    mq_buf image = mq_buf_init(FILE_LIMIT);
    mq_texts names = {0}, version = {0};
    const char *root = "";
    bool keras3 = false, listed = false, told = false;
    MQ_TRY(mq_file_read(err, c->path, &image));
    MQ_TRY(mq_h5_open(err, c->path, &image, &c->h5));
    MQ_TRY(find_legacy(err, c->h5, &root));
    MQ_TRY(mq_h5_texts(err, c->h5, root, "layer_names", &names, &listed));
    if (!listed) MQ_TRY(mq_is_keras3(err, c->h5, &keras3));
    MQ_TRY(mq_h5_texts(err, c->h5, root, "keras_version", &version, &told));
    if (!told) MQ_TRY(mq_h5_texts(err, c->h5, "", "keras_version", &version, &told));
    if (version.count == 1) MQ_TRY(keep_version(err, c, version.items[0]));
    c->contents.format = keras3 ? "keras 3 .weights.h5" : "keras legacy .h5";
    if (keras3) {
        MQ_TRY(mq_contents_keras3(err, c->h5, NULL, &c->contents));
    } else {
        MQ_TRY(check_backend(err, c, root));
        MQ_TRY(mq_contents_legacy(err, c->h5, root, &c->contents));
    }
cleanup:
    mq_buf_free(&image);
    mq_texts_free(&names);
    mq_texts_free(&version);
    return status;
}

/* By its first bytes, not by its name: downloads and copies have any name. */
static mq_status open_any(mq_err *err, conversion *c) {
    mq_status status = MQ_OK;
    unsigned char head[8] = {0};
    FILE *file = fopen(c->path, "rb");
    MQ_REQUIRE(file, err, MQ_NO_INPUT, "%s: %s", c->path, strerror(errno));
    const size_t n = fread(head, 1, sizeof head, file);
    MQ_REQUIRE(n == sizeof head, err, MQ_BAD_DATA, "%s: %zu bytes are no weights file", c->path, n);
    if (memcmp(head, "PK\3\4", 4) == 0)
        MQ_TRY(open_archive(err, c));
    else if (memcmp(head, "\211HDF\r\n\032\n", 8) == 0)
        MQ_TRY(open_h5(err, c));
    else
        MQ_REQUIRE(false, err, MQ_BAD_DATA,
                   "%s: neither a .keras nor an .h5 file; marque reads Keras' .keras, .weights.h5 and .h5",
                   c->path);
cleanup:
    if (file) fclose(file);
    return status;
}

static mq_status put(mq_err *err, const void *data, size_t size) {
    if (fwrite(data, 1, size, stdout) == size) return MQ_OK;
    return mq_fail(err, MQ_IO, "marque-convert: its reader has gone");
}

/* The header of the stream: names, shapes, places and what the file told of itself. */
static mq_status write_header(mq_err *err, const conversion *c) {
    mq_status status = MQ_OK;
    mq_json *header = NULL, *meta = NULL, *shape = NULL, *entry = NULL;
    char *text = NULL, *name = NULL;
    long long at = 0;
    MQ_TRY(mq_json_pack(err, &header, "{}"));
    MQ_TRY(mq_json_pack(err, &meta, "{s:s,s:o}", "format", c->contents.format, "keras_version",
                        mq_json_text(c->keras_version ? c->keras_version : "")));
    MQ_TRY(mq_json_set(err, header, "__metadata__", meta));
    for (size_t i = 0; i < c->expected.count; i++) {
        const mq_layer_shape *layer = &c->expected.layers[i];
        for (size_t p = 0; p < layer->param_count; p++) {
            const mq_expected_param *param = &layer->params[p];
            const long long end = at + (long long)(param->count * sizeof(float));
            MQ_TRY(mq_json_pack(err, &shape, "[]"));
            for (size_t k = 0; k < param->rank; k++) {
                MQ_TRY(mq_json_pack(err, &entry, "I", (long long)param->shape[k]));
                MQ_TRY(mq_json_append(err, shape, entry));
            }
            MQ_TRY(mq_json_pack(err, &entry, "{s:s,s:o,s:[I,I]}", "dtype", "F32", "shape", shape,
                                "data_offsets", at, end));
            MQ_TRY(mq_format(err, &name, "%s/%s", layer->name, param->name));
            MQ_TRY(mq_json_set(err, header, name, entry));
            free(name);
            name = NULL;
            at = end;
        }
    }
    MQ_TRY(mq_json_dump(err, header, 0, &text));
    const uint64_t size = strlen(text);
    MQ_TRY(put(err, &size, sizeof size));
    MQ_TRY(put(err, text, size));
cleanup:
    mq_json_free(&header);
    free(text);
    free(name);
    return status;
}

/* One tensor after the other, so that memory holds the file and one tensor. A tensor that turns out bad in
 * the middle spoils the exit code, and marque throws the stream away. */
static mq_status write_tensors(mq_err *err, const conversion *c) {
    mq_status status = MQ_OK;
    float *values = NULL;
    size_t index = 0;
    for (size_t i = 0; i < c->expected.count; i++) {
        for (size_t p = 0; p < c->expected.layers[i].param_count; p++) {
            const mq_expected_param *param = &c->expected.layers[i].params[p];
            MQ_TRY(mq_calloc(err, param->count, sizeof *values, "a tensor", &values));
            MQ_TRY(mq_h5_read(err, c->h5, c->paths[index++], param, values));
            MQ_TRY(put(err, values, param->count * sizeof *values));
            free(values);
            values = NULL;
        }
    }
    if (fflush(stdout) != 0) status = mq_fail(err, MQ_IO, "marque-convert: its reader has gone");
cleanup:
    free(values);
    return status;
}

/* The whole life of the process between its arguments and its exit code. */
static mq_status convert(mq_err *err, conversion *c) {
    mq_status status = MQ_OK;
    c->contents.what = c->path;
    mq_close_others();
    MQ_TRY(mq_limit_process(err, &limits));
    MQ_TRY(read_expected(err, &c->expected));
    MQ_TRY(open_any(err, c));
    MQ_TRY(mq_contents_match(err, c->h5, &c->expected, &c->contents, &c->paths));
    MQ_TRY(write_header(err, c));
    MQ_TRY(write_tensors(err, c));
cleanup:
    mq_contents_free(&c->contents);
    mq_expected_free(&c->expected);
    mq_h5_free(&c->h5);
    free(c->keras_version);
    free(c->paths);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    char safe[sizeof err.text];
    if (argc != 2) {
        fputs("usage: marque-convert FILE < EXPECTED.json | READER (marque starts it)\n", stderr);
        return MQ_USAGE;
    }
    const mq_status status = convert(&err, &(conversion){.path = argv[1]});
    /* one line, whatever the names in the file hold */
    if (status != MQ_OK) fprintf(stderr, "%s\n", mq_text_safe(err.text, safe, sizeof safe));
    return (int)status;
}
