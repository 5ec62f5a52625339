/* example.c: tf.train.Example to bytes and back. Called by the shards' writer
 * and the data set's reader. Owns nothing. Invariant: a known feature of another
 * kind than it should have is refused, an unknown one passed over. */
#include "data/example.h"
#include "data/bytes.h"
#include "data/tfrecord.h"

#include <string.h>

enum { FEATURES = 13 };

/* One feature to write. Packed numbers and one bytes value have the same form, field 1 with a length, so that
 * payload is all that differs. */
typedef struct {
    const char *name;
    uint8_t kind; /* which list */
    const void *payload;
    size_t size;
    uint8_t own[MQ_VARINT_MAX]; /* payload of a number */
} feature_row;

static size_t entry_size(const feature_row *row) {
    return mq_field_size(strlen(row->name)) + mq_field_size(mq_field_size(mq_field_size(row->size)));
}

/* Map entry: field 1 the name, field 2 the Feature with its list with its values. */
static mq_status add_entry(mq_err *err, mq_buf *buf, const feature_row *row) {
    mq_status status = MQ_OK;
    const size_t values = mq_field_size(row->size), list = mq_field_size(values);
    MQ_TRY(mq_field_head(err, buf, 1, entry_size(row)));
    MQ_TRY(mq_field_bytes(err, buf, 1, row->name, strlen(row->name)));
    MQ_TRY(mq_field_head(err, buf, 2, list));
    MQ_TRY(mq_field_head(err, buf, row->kind, values));
    MQ_TRY(mq_field_bytes(err, buf, 1, row->payload, row->size));
cleanup:
    return status;
}

static void set_bytes(feature_row *row, const char *name, mq_bytes value) {
    *row = (feature_row){name, MQ_BYTES_LIST, value.data, value.size, {0}};
}

static void set_int(feature_row *row, const char *name, int64_t value) {
    *row = (feature_row){.name = name, .kind = MQ_INT_LIST};
    row->size = mq_varint_put(row->own, (uint64_t)value);
    row->payload = row->own;
}

static void set_float(feature_row *row, const char *name, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    *row = (feature_row){.name = name, .kind = MQ_FLOAT_LIST, .size = 4};
    mq_write_u32(row->own, bits);
    row->payload = row->own;
}

mq_status mq_example_encode(mq_err *err, const mq_example *example, mq_buf *buf) {
    mq_status status = MQ_OK;
    feature_row rows[FEATURES];
    size_t count = 0, total = 0;
    set_int(&rows[count++], "image/channels", example->channels);
    set_int(&rows[count++], "image/class/label", example->label);
    set_bytes(&rows[count++], "image/class/text", example->text);
    set_bytes(&rows[count++], "image/colorspace", example->colorspace);
    set_bytes(&rows[count++], "image/encoded", example->encoded);
    set_bytes(&rows[count++], "image/filename", example->filename);
    set_bytes(&rows[count++], "image/format", example->format);
    set_int(&rows[count++], "image/height", example->height);
    if (example->has_box) {
        set_float(&rows[count++], "image/object/bbox/xmax", example->box[2]);
        set_float(&rows[count++], "image/object/bbox/xmin", example->box[0]);
        set_float(&rows[count++], "image/object/bbox/ymax", example->box[3]);
        set_float(&rows[count++], "image/object/bbox/ymin", example->box[1]);
    }
    set_int(&rows[count++], "image/width", example->width);
    for (size_t i = 0; i < count; i++) total += mq_field_size(entry_size(&rows[i]));
    MQ_TRY(mq_buf_reserve(err, buf, mq_field_size(total)));
    MQ_TRY(mq_field_head(err, buf, 1, total));
    for (size_t i = 0; i < count; i++) {
        /* A number's payload lies in the row itself, which the array has not moved since. */
        MQ_TRY(add_entry(err, buf, &rows[i]));
    }
cleanup:
    return status;
}

mq_status mq_example_frame(mq_err *err, const mq_example *example, mq_buf *frame) {
    mq_status status = MQ_OK;
    mq_buf_clear(frame);
    MQ_TRY(mq_buf_add(err, frame, (uint8_t[MQ_TFRECORD_HEADER]){0}, MQ_TFRECORD_HEADER));
    MQ_TRY(mq_example_encode(err, example, frame));
    MQ_TRY(mq_tfrecord_seal(err, frame));
cleanup:
    return status;
}

/* The list of a Feature: its kind (0: none) and bytes. */
static bool read_feature(mq_bytes message, mq_feature *feature) {
    *feature = (mq_feature){0};
    for (mq_fields in = mq_fields_of(message); in.at < in.end;) {
        mq_field f;
        if (!mq_field_next(&in, &f)) return false;
        if (f.wire != MQ_WIRE_BYTES || f.number < MQ_BYTES_LIST || f.number > MQ_INT_LIST) continue;
        feature->kind = (unsigned)f.number;
        feature->list = f.content;
    }
    return true;
}

/* A number out of a packed list, which has at least a byte. */
static bool next_packed(mq_values *values, uint64_t *bits) {
    if (values->kind == MQ_INT_LIST) return mq_varint_next(&values->packed, bits);
    if (values->packed.end - values->packed.at < 4) return false;
    *bits = mq_read_u32(values->packed.at);
    values->packed.at += 4;
    return true;
}

mq_values mq_values_of(const mq_feature *feature) {
    return (mq_values){.kind = feature->kind, .list = mq_fields_of(feature->list), .sound = true};
}

/* Packed and single values may even be mixed. */
bool mq_values_next(mq_values *values, uint64_t *bits, mq_bytes *bytes) {
    const unsigned single = values->kind == MQ_FLOAT_LIST ? MQ_WIRE_32 : MQ_WIRE_VARINT;
    while (values->sound) {
        mq_field f;
        if (values->packed.at < values->packed.end) return values->sound = next_packed(values, bits);
        if (values->list.at == values->list.end) return false;
        values->sound = mq_field_next(&values->list, &f);
        if (!values->sound || f.number != 1) continue;
        if (f.wire == MQ_WIRE_BYTES && values->kind == MQ_BYTES_LIST) {
            *bytes = f.content;
            return true;
        }
        if (f.wire == MQ_WIRE_BYTES) {
            values->packed = mq_fields_of(f.content);
        } else {
            *bits = f.value;
            return values->sound = f.wire == single && values->kind != MQ_BYTES_LIST;
        }
    }
    return false;
}

/* Reads a list to its end and gives its first value; *found false when it is empty. */
static bool first_value(const mq_feature *feature, bool *found, uint64_t *value, mq_bytes *bytes) {
    mq_values values = mq_values_of(feature);
    uint64_t bits = 0;
    mq_bytes content = {0};
    for (*found = false; mq_values_next(&values, &bits, &content); *found = true) {
        if (*found) continue;
        *value = bits;
        *bytes = content;
    }
    return values.sound;
}

/* The features we know: where their value goes. */
static const struct {
    const char *name;
    unsigned kind;
    size_t offset;
    unsigned box_bit; /* of xmin, ymin, xmax, ymax */
} KNOWN[] = {
    {"image/width", MQ_INT_LIST, offsetof(mq_example, width), 0},
    {"image/height", MQ_INT_LIST, offsetof(mq_example, height), 0},
    {"image/channels", MQ_INT_LIST, offsetof(mq_example, channels), 0},
    {"image/class/label", MQ_INT_LIST, offsetof(mq_example, label), 0},
    {"image/class/text", MQ_BYTES_LIST, offsetof(mq_example, text), 0},
    {"image/colorspace", MQ_BYTES_LIST, offsetof(mq_example, colorspace), 0},
    {"image/format", MQ_BYTES_LIST, offsetof(mq_example, format), 0},
    {"image/filename", MQ_BYTES_LIST, offsetof(mq_example, filename), 0},
    {"image/encoded", MQ_BYTES_LIST, offsetof(mq_example, encoded), 0},
    {"image/object/bbox/xmin", MQ_FLOAT_LIST, offsetof(mq_example, box[0]), 1},
    {"image/object/bbox/ymin", MQ_FLOAT_LIST, offsetof(mq_example, box[1]), 2},
    {"image/object/bbox/xmax", MQ_FLOAT_LIST, offsetof(mq_example, box[2]), 4},
    {"image/object/bbox/ymax", MQ_FLOAT_LIST, offsetof(mq_example, box[3]), 8},
};

/* Puts a feature into example; *box gathers which sides were there. */
static mq_status take_known(mq_err *err, const char *what, size_t known, const mq_feature *feature,
                            mq_example *example, unsigned *box) {
    mq_status status = MQ_OK;
    mq_bytes bytes = {0};
    uint64_t value = 0;
    bool found = false;
    if (feature->kind == 0) return MQ_OK;
    MQ_REQUIRE(feature->kind == KNOWN[known].kind, err, MQ_BAD_DATA,
               "%s: %s holds another kind of list than it should", what, KNOWN[known].name);
    MQ_REQUIRE(first_value(feature, &found, &value, &bytes), err, MQ_BAD_DATA,
               "%s: the list in %s is damaged", what, KNOWN[known].name);
    if (!found) goto cleanup;
    char *target = (char *)example + KNOWN[known].offset;
    if (feature->kind == MQ_BYTES_LIST) memcpy(target, &bytes, sizeof bytes);
    if (feature->kind == MQ_INT_LIST) memcpy(target, &value, sizeof value);
    if (feature->kind == MQ_FLOAT_LIST) memcpy(target, &(uint32_t){(uint32_t)value}, 4);
    *box |= KNOWN[known].box_bit;
cleanup:
    return status;
}

/* One entry of the map: its name, and the bytes of its Feature. */
static bool read_entry(mq_bytes entry, mq_bytes *name, mq_bytes *message) {
    *name = *message = (mq_bytes){0};
    for (mq_fields in = mq_fields_of(entry); in.at < in.end;) {
        mq_field f;
        if (!mq_field_next(&in, &f)) return false;
        if (f.wire == MQ_WIRE_BYTES && f.number == 1) *name = f.content;
        if (f.wire == MQ_WIRE_BYTES && f.number == 2) *message = f.content;
    }
    return true;
}

mq_status mq_example_find(mq_err *err, const char *what, mq_bytes example, const char *const *names,
                          size_t count, mq_feature *features) {
    mq_status status = MQ_OK;
    memset(features, 0, count * sizeof *features);
    for (mq_fields in = mq_fields_of(example); in.at < in.end;) {
        mq_field map, entry;
        MQ_REQUIRE(mq_field_next(&in, &map), err, MQ_BAD_DATA, "%s: not a tf.train.Example", what);
        if (map.number != 1 || map.wire != MQ_WIRE_BYTES) continue;
        for (mq_fields entries = mq_fields_of(map.content); entries.at < entries.end;) {
            mq_bytes name, message;
            MQ_REQUIRE(mq_field_next(&entries, &entry), err, MQ_BAD_DATA, "%s: not a tf.train.Example", what);
            if (entry.number != 1 || entry.wire != MQ_WIRE_BYTES) continue;
            MQ_REQUIRE(read_entry(entry.content, &name, &message), err, MQ_BAD_DATA,
                       "%s: not a tf.train.Example", what);
            size_t i = 0;
            while (i < count &&
                   (name.size != strlen(names[i]) || memcmp(name.data, names[i], name.size) != 0))
                i++;
            MQ_REQUIRE(i == count || read_feature(message, &features[i]), err, MQ_BAD_DATA,
                       "%s: not a tf.train.Example", what);
        }
    }
cleanup:
    return status;
}

mq_status mq_example_decode(mq_err *err, const char *what, const uint8_t *data, size_t size,
                            mq_example *example) {
    mq_status status = MQ_OK;
    enum { COUNT = sizeof KNOWN / sizeof *KNOWN };
    const char *names[COUNT];
    mq_feature features[COUNT];
    unsigned box = 0;
    *example = (mq_example){0};
    for (size_t i = 0; i < COUNT; i++) names[i] = KNOWN[i].name;
    MQ_TRY(mq_example_find(err, what, (mq_bytes){data, size}, names, COUNT, features));
    for (size_t i = 0; i < COUNT; i++) MQ_TRY(take_known(err, what, i, &features[i], example, &box));
    example->has_box = box == 15;
cleanup:
    return status;
}
