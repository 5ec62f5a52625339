/* example.c: tf.train.Example to bytes and back. Called by the shards' writer
 * and the data set's reader. Owns nothing. Invariant: a known feature of another
 * kind than it should have is refused, an unknown one passed over. */
#include "data/example.h"
#include "data/bytes.h"

#include <string.h>

/* Feature's oneof: the field number of the list in it. */
enum { BYTES_LIST = 1, FLOAT_LIST = 2, INT_LIST = 3 };
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
    *row = (feature_row){name, BYTES_LIST, value.data, value.size, {0}};
}

static void set_int(feature_row *row, const char *name, int64_t value) {
    *row = (feature_row){.name = name, .kind = INT_LIST};
    row->size = mq_varint_put(row->own, (uint64_t)value);
    row->payload = row->own;
}

static void set_float(feature_row *row, const char *name, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    *row = (feature_row){.name = name, .kind = FLOAT_LIST, .size = 4};
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

/* The list of a Feature: its kind (0: none) and bytes. */
static bool read_feature(mq_bytes feature, unsigned *kind, mq_bytes *list) {
    *kind = 0;
    for (mq_fields in = mq_fields_of(feature); in.at < in.end;) {
        mq_field f;
        if (!mq_field_next(&in, &f)) return false;
        if (f.wire != MQ_WIRE_BYTES || f.number < BYTES_LIST || f.number > INT_LIST) continue;
        *kind = (unsigned)f.number;
        *list = f.content;
    }
    return true;
}

/* Reads a list to its end and gives its first value; *found false when it is empty. A number is in *value
 * as its bits. Packed and single values may even be mixed. */
static bool first_value(unsigned kind, mq_bytes list, bool *found, uint64_t *value, mq_bytes *bytes) {
    *found = false;
    for (mq_fields in = mq_fields_of(list); in.at < in.end;) {
        mq_field f;
        if (!mq_field_next(&in, &f)) return false;
        if (f.number != 1) continue;
        if (kind == BYTES_LIST) {
            if (f.wire != MQ_WIRE_BYTES) return false;
            if (!*found) *bytes = f.content;
            *found = true;
            continue;
        }
        if (f.wire == MQ_WIRE_BYTES) {
            mq_fields packed = mq_fields_of(f.content);
            if (kind == FLOAT_LIST && f.content.size % 4) return false;
            if (f.content.size == 0) continue;
            if (kind == FLOAT_LIST)
                f.value = mq_read_u32(packed.at);
            else if (!mq_varint_next(&packed, &f.value))
                return false;
        } else if (f.wire != (kind == FLOAT_LIST ? MQ_WIRE_32 : MQ_WIRE_VARINT)) {
            return false;
        }
        if (!*found) *value = f.value;
        *found = true;
    }
    return true;
}

/* The features we know: where their value goes. */
static const struct {
    const char *name;
    unsigned kind;
    size_t offset;
    unsigned box_bit; /* of xmin, ymin, xmax, ymax */
} KNOWN[] = {
    {"image/width", INT_LIST, offsetof(mq_example, width), 0},
    {"image/height", INT_LIST, offsetof(mq_example, height), 0},
    {"image/channels", INT_LIST, offsetof(mq_example, channels), 0},
    {"image/class/label", INT_LIST, offsetof(mq_example, label), 0},
    {"image/class/text", BYTES_LIST, offsetof(mq_example, text), 0},
    {"image/colorspace", BYTES_LIST, offsetof(mq_example, colorspace), 0},
    {"image/format", BYTES_LIST, offsetof(mq_example, format), 0},
    {"image/filename", BYTES_LIST, offsetof(mq_example, filename), 0},
    {"image/encoded", BYTES_LIST, offsetof(mq_example, encoded), 0},
    {"image/object/bbox/xmin", FLOAT_LIST, offsetof(mq_example, box[0]), 1},
    {"image/object/bbox/ymin", FLOAT_LIST, offsetof(mq_example, box[1]), 2},
    {"image/object/bbox/xmax", FLOAT_LIST, offsetof(mq_example, box[2]), 4},
    {"image/object/bbox/ymax", FLOAT_LIST, offsetof(mq_example, box[3]), 8},
};

/* Puts one entry of the map into example; *box gathers which sides were there. */
static mq_status take_entry(mq_err *err, const char *what, mq_bytes entry, mq_example *example,
                            unsigned *box) {
    mq_bytes name = {0}, feature = {0}, list = {0}, bytes = {0};
    unsigned kind = 0;
    uint64_t value = 0;
    bool found = false, sound = true;
    for (mq_fields in = mq_fields_of(entry); sound && in.at < in.end;) {
        mq_field f;
        sound = mq_field_next(&in, &f);
        if (sound && f.wire == MQ_WIRE_BYTES && f.number == 1) name = f.content;
        if (sound && f.wire == MQ_WIRE_BYTES && f.number == 2) feature = f.content;
    }
    for (size_t i = 0; sound && i < sizeof KNOWN / sizeof *KNOWN; i++) {
        if (name.size != strlen(KNOWN[i].name) || memcmp(name.data, KNOWN[i].name, name.size) != 0) continue;
        if (!read_feature(feature, &kind, &list)) break;
        if (kind == 0) return MQ_OK;
        if (kind != KNOWN[i].kind)
            return mq_fail(err, MQ_BAD_DATA, "%s: %s holds another kind of list than it should", what,
                           KNOWN[i].name);
        if (!first_value(kind, list, &found, &value, &bytes))
            return mq_fail(err, MQ_BAD_DATA, "%s: the list in %s is damaged", what, KNOWN[i].name);
        if (!found) return MQ_OK;
        char *target = (char *)example + KNOWN[i].offset;
        if (kind == BYTES_LIST) memcpy(target, &bytes, sizeof bytes);
        if (kind == INT_LIST) memcpy(target, &value, sizeof value);
        if (kind == FLOAT_LIST) memcpy(target, &(uint32_t){(uint32_t)value}, 4);
        *box |= KNOWN[i].box_bit;
        return MQ_OK;
    }
    return sound && kind == 0 ? MQ_OK : mq_fail(err, MQ_BAD_DATA, "%s: not a tf.train.Example", what);
}

mq_status mq_example_decode(mq_err *err, const char *what, const uint8_t *data, size_t size,
                            mq_example *example) {
    mq_status status = MQ_OK;
    unsigned box = 0;
    *example = (mq_example){0};
    for (mq_fields in = {data, data + size}; in.at < in.end;) {
        mq_field features, entry;
        MQ_REQUIRE(mq_field_next(&in, &features), err, MQ_BAD_DATA, "%s: not a tf.train.Example", what);
        if (features.number != 1 || features.wire != MQ_WIRE_BYTES) continue;
        for (mq_fields map = mq_fields_of(features.content); map.at < map.end;) {
            MQ_REQUIRE(mq_field_next(&map, &entry), err, MQ_BAD_DATA, "%s: not a tf.train.Example", what);
            if (entry.number == 1 && entry.wire == MQ_WIRE_BYTES)
                MQ_TRY(take_entry(err, what, entry.content, example, &box));
        }
    }
    example->has_box = box == 15;
cleanup:
    return status;
}
