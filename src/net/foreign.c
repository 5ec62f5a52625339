/* foreign.c: runs marque-convert, feeds it the list of tensors and takes its
 * stream. Called by `marque pull`. Owns nothing. Invariant: no more is read
 * than the list allows, and nothing of it is believed before bundle.c and
 * mq_foreign_check have seen it. */
#include "net/foreign.h"
#include "base/child.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <string.h>

enum {
    HEADER_PER_TENSOR = 512, /* generous: names and shapes in the stream's header */
    HEADER_BASE = 4096,
};

size_t mq_foreign_bytes(const mq_foreign_list *list) {
    size_t bytes = 0;
    for (size_t i = 0; i < list->count; i++)
        for (size_t p = 0; p < list->layers[i].param_count; p++)
            bytes += mq_param_numbers(&list->layers[i].params[p]) * sizeof(float);
    return bytes;
}

static mq_status layer_json(mq_err *err, const mq_foreign_layer *layer, mq_json *layers) {
    mq_status status = MQ_OK;
    mq_json *item = NULL, *params = NULL, *shape = NULL, *side = NULL;
    MQ_TRY(mq_json_pack(err, &item, "{s:s,s:s,s:[]}", "layer", layer->layer, "class", layer->class_name,
                        "params"));
    params = mq_json_get(item, "params");
    MQ_TRY(mq_json_append(err, layers, item));
    for (size_t p = 0; p < layer->param_count; p++) {
        const mq_param_shape *param = &layer->params[p];
        MQ_TRY(mq_json_pack(err, &item, "{s:s,s:[]}", "name", param->name, "shape"));
        shape = mq_json_get(item, "shape");
        MQ_TRY(mq_json_append(err, params, item));
        for (size_t i = 0; i < param->rank; i++) {
            MQ_TRY(mq_json_pack(err, &side, "I", (long long)param->shape[i]));
            MQ_TRY(mq_json_append(err, shape, side));
        }
    }
cleanup:
    return status;
}

/* The list as JSON text (see convert/expected.h); *text is the caller's, for free(). */
static mq_status list_json(mq_err *err, const mq_foreign_list *list, char **text) {
    mq_status status = MQ_OK;
    mq_json *json = NULL;
    MQ_TRY(mq_json_pack(err, &json, "{s:s,s:[]}", "network", list->network, "layers"));
    for (size_t i = 0; i < list->count; i++)
        MQ_TRY(layer_json(err, &list->layers[i], mq_json_get(json, "layers")));
    MQ_TRY(mq_json_dump(err, json, 0, text));
cleanup:
    mq_json_free(&json);
    return status;
}

mq_status mq_foreign_check(mq_err *err, const mq_foreign_list *list, const mq_bundle *bundle) {
    mq_status status = MQ_OK;
    char *name = NULL;
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        const mq_foreign_layer *layer = &list->layers[i];
        for (size_t p = 0; p < layer->param_count; p++, count++) {
            const mq_param_shape *param = &layer->params[p];
            MQ_TRY(mq_format(err, &name, "%s/%s", layer->layer, param->name));
            const mq_tensor *tensor = mq_bundle_find(bundle, name);
            MQ_REQUIRE(tensor && tensor->dtype == MQ_F32 && tensor->rank == param->rank &&
                           memcmp(tensor->shape, param->shape, param->rank * sizeof *param->shape) == 0,
                       err, MQ_BAD_DATA, "%s: %s is missing or has another shape than %s wants",
                       mq_bundle_path(bundle), name, list->network);
            free(name);
            name = NULL;
        }
    }
    MQ_REQUIRE(count == mq_bundle_count(bundle), err, MQ_BAD_DATA, "%s: has %zu tensors, but %s has %zu",
               mq_bundle_path(bundle), mq_bundle_count(bundle), list->network, count);
cleanup:
    free(name);
    return status;
}

mq_status mq_foreign_read(mq_err *err, const char *path, const mq_foreign_list *list, mq_bundle **bundle) {
    mq_status status = MQ_OK;
    char *text = NULL;
    const size_t tensors = list->count * MQ_NODE_PARAMS;
    mq_buf stream = mq_buf_init(mq_foreign_bytes(list) + HEADER_BASE + tensors * HEADER_PER_TENSOR);
    mq_bundle *b = NULL;
    MQ_REQUIRE(mq_file_exists(path), err, MQ_NO_INPUT, "%s: no such regular file", path);
    MQ_TRY(list_json(err, list, &text));
    const mq_child_plan plan = {.size = sizeof plan,
                                .program = "marque-convert",
                                .role = "converter",
                                .kind = "weights file",
                                .purpose = "to read Keras' files",
                                .file = path,
                                .args = {path},
                                .input = text,
                                .input_size = strlen(text)};
    MQ_TRY(mq_child_run(err, &plan, &stream));
    MQ_TRY(mq_bundle_parse(err, path, stream.data ? stream.data : (uint8_t *)"", stream.size, &b));
    MQ_TRY(mq_foreign_check(err, list, b));
    *bundle = b;
    b = NULL;
cleanup:
    free(text);
    mq_bundle_free(&b);
    mq_buf_free(&stream);
    return status;
}
