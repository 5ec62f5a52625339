/* expected.c: the list of tensors marque wants, read from its JSON. Called by
 * main.c once. Invariant: no shape's product overflows. */
#include "convert/expected.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { LAYERS_MAX = 8192, PARAMS_MAX = 16 };

static const char what[] = "the list of expected tensors";

/* Keras does it by two regular expressions: an underscore before a capital letter that begins a word (a
 * small letter follows) or ends a run of small ones. Digits count as neither: Conv2D -> conv2d. */
const char *mq_snake_case(const char *class_name, char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; class_name[i] && n + 2 < size; i++) {
        const unsigned char c = (unsigned char)class_name[i];
        if (!isalnum(c) && c != '_') continue;
        const unsigned char before = n ? (unsigned char)class_name[i - 1] : 0;
        if (isupper(c) && n && (islower(before) || islower((unsigned char)class_name[i + 1]))) out[n++] = '_';
        out[n++] = (char)tolower(c);
    }
    out[n] = 0;
    return out;
}

/* The next character of *text without underscores and in lower case; 0 at the end. */
static char next_plain(const char **text, const char *end) {
    while (*text < end && **text == '_') ++*text;
    return *text < end ? (char)tolower((unsigned char)*(*text)++) : 0;
}

static bool same_plain(const char *a, const char *a_end, const char *b) {
    const char *b_end = b + strlen(b);
    for (char x, y;;) {
        x = next_plain(&a, a_end);
        y = next_plain(&b, b_end);
        if (x != y) return false;
        if (!x) return true;
    }
}

/* Whether [name, end) is kind: with Keras 1's "convolution" for "conv", with a version behind it, and without
 * regard to underscores and capitals. */
static bool is_kind(const char *name, const char *end, const char *kind) {
    char former[96];
    if (end - name > 3 && end[-3] == '_' && end[-2] == 'v' && (end[-1] == '1' || end[-1] == '2')) end -= 3;
    if (same_plain(name, end, kind)) return true;
    const char *conv = strstr(kind, "conv");
    if (!conv) return false;
    snprintf(former, sizeof former, "%.*sconvolution%s", (int)(conv - kind), kind, conv + strlen("conv"));
    return same_plain(name, end, former);
}

/* Cuts "_12" off [name, *end) and gives 12; false where there is none. */
static bool cut_number(const char *name, const char **end, size_t *number) {
    const char *digits = *end;
    while (digits > name && isdigit((unsigned char)digits[-1])) digits--;
    if (digits == *end || *end - digits > 6 || digits - name < 2 || digits[-1] != '_') return false;
    *number = strtoul(digits, NULL, 10);
    *end = digits - 1;
    return true;
}

bool mq_is_unnamed(const char *name, const char *kind, size_t *number) {
    const char *end = name + strlen(name);
    size_t first = 0, second = 0;
    bool fits = is_kind(name, end, kind);
    if (!fits && cut_number(name, &end, &first)) fits = is_kind(name, end, kind);
    if (!fits && end[0] && cut_number(name, &end, &second)) {
        fits = is_kind(name, end, kind);
        /* conv2d_5_1 is conv2d_5 in a scope that was taken: the layer's own number stands first */
        const size_t scope = first;
        first = second;
        second = scope;
    }
    if (number) *number = fits ? first * MQ_NUMBER_SCOPE + second : 0;
    return fits;
}

bool mq_is_counted(const char *name, const char *base) {
    const char *end = name + strlen(name);
    size_t number;
    return cut_number(name, &end, &number) && (size_t)(end - name) == strlen(base) &&
           memcmp(name, base, (size_t)(end - name)) == 0;
}

bool mq_same_shape(const mq_expected_param *a, const mq_expected_param *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0;
}

/* Shapes come from marque itself, but a list that cannot be is refused all the same. */
static mq_status read_param(mq_err *err, mq_json *json, mq_expected_param *param) {
    mq_status status = MQ_OK;
    mq_json *shape = NULL;
    MQ_TRY(mq_json_unpack(err, what, json, "{s:s,s:o!}", "name", &param->name, "shape", &shape));
    param->rank = mq_json_size(shape);
    param->count = 1;
    MQ_REQUIRE(param->rank <= MQ_PARAM_RANK_MAX, err, MQ_BAD_DATA, "%s: %zu dimensions", what, param->rank);
    for (size_t i = 0; i < param->rank; i++) {
        long long side = 0;
        MQ_TRY(mq_json_unpack(err, what, mq_json_at(shape, i), "I", &side));
        MQ_REQUIRE(side > 0 && mq_mul(param->count, (size_t)side, &param->count) &&
                       param->count <= SIZE_MAX / sizeof(double),
                   err, MQ_BAD_DATA, "%s: the shape of %s is impossible", what, param->name);
        param->shape[i] = (size_t)side;
    }
cleanup:
    return status;
}

static mq_status read_layer(mq_err *err, mq_json *json, mq_layer_shape *layer) {
    mq_status status = MQ_OK;
    const char *class_name = NULL;
    mq_json *params = NULL;
    MQ_TRY(mq_json_unpack(err, what, json, "{s:s,s:s,s:o!}", "layer", &layer->name, "class", &class_name,
                          "params", &params));
    mq_snake_case(class_name, layer->kind, sizeof layer->kind);
    layer->unnamed = mq_is_unnamed(layer->name, layer->kind, NULL);
    layer->param_count = mq_json_size(params);
    MQ_REQUIRE(layer->param_count >= 1 && layer->param_count <= PARAMS_MAX, err, MQ_BAD_DATA,
               "%s: %s has %zu parameters", what, layer->name, layer->param_count);
    MQ_TRY(mq_calloc(err, layer->param_count, sizeof *layer->params, what, &layer->params));
    for (size_t i = 0; i < layer->param_count; i++)
        MQ_TRY(read_param(err, mq_json_at(params, i), &layer->params[i]));
cleanup:
    return status;
}

/* A layer's place among those of its kind. */
static void count_before(mq_expected *expected, size_t index) {
    mq_layer_shape *layer = &expected->layers[index];
    size_t own = 0, other = 0;
    mq_is_unnamed(layer->name, layer->kind, &own);
    for (size_t i = 0; i < expected->count; i++) {
        const mq_layer_shape *l = &expected->layers[i];
        if (strcmp(l->kind, layer->kind) != 0) continue;
        layer->same_kind += i < index;
        if (mq_is_unnamed(l->name, l->kind, &other)) layer->unnamed_ago += other < own;
    }
}

mq_status mq_expected_parse(mq_err *err, const void *text, size_t size, mq_expected *expected) {
    mq_status status = MQ_OK;
    mq_json *layers = NULL;
    MQ_TRY(mq_json_parse(err, what, text, size, &expected->json));
    MQ_TRY(mq_json_unpack(err, what, expected->json, "{s:s,s:o!}", "network", &expected->network, "layers",
                          &layers));
    const size_t count = mq_json_size(layers);
    MQ_REQUIRE(count >= 1 && count <= LAYERS_MAX, err, MQ_BAD_DATA, "%s: has %zu layers", what, count);
    MQ_TRY(mq_calloc(err, count, sizeof *expected->layers, what, &expected->layers));
    expected->count = count;
    for (size_t i = 0; i < count; i++) MQ_TRY(read_layer(err, mq_json_at(layers, i), &expected->layers[i]));
    for (size_t i = 0; i < count; i++) count_before(expected, i);
cleanup:
    return status;
}

void mq_expected_free(mq_expected *expected) {
    for (size_t i = 0; i < expected->count; i++) free(expected->layers[i].params);
    free(expected->layers);
    mq_json_free(&expected->json);
    *expected = (mq_expected){0};
}
