/* mat.c: all of MATLAB's level 5 format. Called by the importer of
 * Stanford Cars. Owns the file's bytes, what was unpacked and the tree of values
 * over them. Invariant: no tag is believed before the bytes around it. */
#include "data/mat.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/bytes.h"
#include "data/inflate.h"

#include <math.h>
#include <string.h>

enum {
    HEADER = 128,
    FILE_LIMIT = 64 << 20,
    VALUES_LIMIT = 4000000, /* so that tiny empty values cannot fill the memory */
    DEPTH_LIMIT = 8,
    VARIABLES_MAX = 1000,
};

/* miXXX: how data is stored. */
enum {
    MI_INT8 = 1,
    MI_UINT8,
    MI_INT16,
    MI_UINT16,
    MI_INT32,
    MI_UINT32,
    MI_SINGLE,
    MI_DOUBLE = 9,
    MI_INT64 = 12,
    MI_UINT64,
    MI_MATRIX,
    MI_COMPRESSED,
    MI_UTF8,
    MI_UTF16,
    MI_UTF32,
};
/* mxXXX_CLASS: what it is to MATLAB. */
enum { MX_CELL = 1, MX_STRUCT = 2, MX_CHAR = 4, MX_DOUBLE = 6, MX_UINT64 = 15 };

typedef struct {
    const uint8_t *at;
    size_t left;
} span;

struct mq_mat_value {
    mq_mat_kind kind;
    char *name; /* of a variable; owned */
    size_t count;
    uint32_t type;          /* miXXX of numbers */
    const uint8_t *numbers; /* into the file or what was unpacked */
    char *text;             /* owned */
    mq_mat_value *children; /* owned: cells; or count x fields, fields fastest */
    size_t child_count;
    char *fields; /* owned: names, field_size bytes each, ended by NUL */
    size_t field_count, field_size;
};

struct mq_mat {
    char *path;
    mq_buf file;
    mq_buf *unpacked; /* one for each compressed variable */
    size_t unpacked_count, unpacked_capacity, unpacked_bytes;
    mq_mat_value *variables;
    size_t variable_count, variable_capacity;
    size_t values; /* in all */
};

static mq_status damaged(mq_err *err, const mq_mat *m, const char *what) {
    return mq_fail(err, MQ_BAD_DATA, "%s: damaged MATLAB file (%s)", m->path, what);
}

/* Takes the next element off in: its type and bytes. Small elements keep up to four bytes in the tag. */
static mq_status take_element(mq_err *err, const mq_mat *m, span *in, uint32_t *type, span *data) {
    if (in->left < 8) return damaged(err, m, "an element is cut off");
    const uint32_t word = mq_read_u32(in->at);
    size_t whole = 8;
    if (word >> 16) {
        *type = word & 0xFFFF;
        *data = (span){in->at + 4, word >> 16};
        if (data->left > 4) return damaged(err, m, "a small element is too long");
    } else {
        *type = word;
        *data = (span){in->at + 8, mq_read_u32(in->at + 4)};
        if (data->left > in->left - 8) return damaged(err, m, "an element is longer than what holds it");
        whole += word == MI_COMPRESSED ? data->left : (data->left + 7) / 8 * 8;
        if (whole > in->left) whole = in->left; /* the last padding may be missing */
    }
    in->at += whole;
    in->left -= whole;
    return MQ_OK;
}

/* The same where only one type will do. */
static mq_status take_typed(mq_err *err, const mq_mat *m, span *in, uint32_t wanted, span *data) {
    uint32_t type = 0;
    const mq_status status = take_element(err, m, in, &type, data);
    if (status != MQ_OK || type == wanted) return status;
    return damaged(err, m, "an element has the wrong type");
}

/* Bytes of a number or character; 0 for what is neither. */
static size_t type_size(uint32_t type) {
    switch (type) {
    case MI_INT8:
    case MI_UINT8:
    case MI_UTF8:
        return 1;
    case MI_INT16:
    case MI_UINT16:
    case MI_UTF16:
        return 2;
    case MI_INT32:
    case MI_UINT32:
    case MI_SINGLE:
    case MI_UTF32:
        return 4;
    case MI_DOUBLE:
    case MI_INT64:
    case MI_UINT64:
        return 8;
    default:
        return 0;
    }
}

/* Appends a character of any plane; returns where the next one goes. */
static char *put_utf8(char *out, uint32_t code) {
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 63));
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    }
    return out;
}

/* The character at *index of data stored as type; moves *index. UINT8 is UTF-16 squeezed by MATLAB. */
static uint32_t get_character(span data, uint32_t type, size_t *index) {
    const uint8_t *p = data.at + *index;
    *index += type_size(type);
    if (type_size(type) == 1) return p[0];
    if (type_size(type) == 4) return mq_read_u32(p);
    const uint32_t unit = (uint32_t)(p[0] | p[1] << 8);
    if (unit < 0xD800 || unit >= 0xDC00 || data.left - *index < 2) return unit;
    const uint32_t low = (uint32_t)(p[2] | p[3] << 8);
    if (low < 0xDC00 || low >= 0xE000) return unit;
    *index += 2;
    return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
}

/* Rows of text are read as one: nothing here has several. */
static mq_status read_text(mq_err *err, mq_mat *m, span *in, mq_mat_value *value) {
    mq_status status = MQ_OK;
    uint32_t type = 0;
    span data = {0};
    char *out;
    MQ_TRY(take_element(err, m, in, &type, &data));
    const size_t unit = type_size(type);
    MQ_REQUIRE(unit && data.left % unit == 0 && type != MI_SINGLE && unit != 8, err, MQ_BAD_DATA,
               "%s: damaged MATLAB file (text of an unknown kind)", m->path);
    MQ_TRY(mq_calloc(err, data.left * 4 + 1, 1, "text", &value->text)); /* at most 4 bytes a unit */
    out = value->text;
    for (size_t i = 0; i < data.left;) {
        const uint32_t code = get_character(data, type, &i);
        MQ_REQUIRE(code && code < 0x110000, err, MQ_BAD_DATA,
                   "%s: damaged MATLAB file (text with impossible characters)", m->path);
        if (type == MI_UTF8)
            *out++ = (char)code;
        else
            out = put_utf8(out, code);
    }
    value->kind = MQ_MAT_TEXT;
    value->count = 1;
cleanup:
    return status;
}

/* Numbers stay where they are, in the type they are stored in. */
static mq_status read_numbers(mq_err *err, mq_mat *m, span *in, mq_mat_value *value) {
    mq_status status = MQ_OK;
    span data = {0};
    size_t bytes = 0;
    MQ_TRY(take_element(err, m, in, &value->type, &data));
    MQ_REQUIRE(type_size(value->type) && mq_mul(value->count, type_size(value->type), &bytes) &&
                   bytes <= data.left,
               err, MQ_BAD_DATA, "%s: damaged MATLAB file (numbers are missing)", m->path);
    value->kind = MQ_MAT_NUMBERS;
    value->numbers = data.at;
cleanup:
    return status;
}

static mq_status read_matrix(mq_err *err, mq_mat *m, span in, unsigned depth, mq_mat_value *value);

/* Every child needs a tag of eight bytes: what count says is checked against that before memory is taken. */
static mq_status read_children(mq_err *err, mq_mat *m, span *in, unsigned depth, mq_mat_value *value) {
    mq_status status = MQ_OK;
    size_t wanted = value->count;
    if (value->kind == MQ_MAT_STRUCT && !mq_mul(value->count, value->field_count, &wanted)) wanted = SIZE_MAX;
    MQ_REQUIRE(wanted <= in->left / 8 && wanted <= VALUES_LIMIT - m->values, err, MQ_BAD_DATA,
               "%s: damaged MATLAB file (%zu values where there is room for %zu)", m->path, wanted,
               in->left / 8);
    m->values += wanted;
    MQ_TRY(mq_calloc(err, wanted, sizeof *value->children, "a MATLAB file", &value->children));
    for (; value->child_count < wanted; value->child_count++) {
        span data = {0};
        MQ_TRY(take_typed(err, m, in, MI_MATRIX, &data));
        const mq_status read = read_matrix(err, m, data, depth + 1, &value->children[value->child_count]);
        if (read != MQ_OK) value->child_count++; /* what it holds is freed with the others */
        MQ_TRY(read);
    }
cleanup:
    return status;
}

/* The field names of a struct: one length for all, then the names. */
static mq_status read_fields(mq_err *err, mq_mat *m, span *in, mq_mat_value *value) {
    mq_status status = MQ_OK;
    span length = {0}, names = {0};
    MQ_TRY(take_typed(err, m, in, MI_INT32, &length));
    MQ_TRY(take_typed(err, m, in, MI_INT8, &names));
    value->kind = MQ_MAT_STRUCT;
    value->field_size = length.left == 4 ? mq_read_u32(length.at) : 0;
    MQ_REQUIRE(value->field_size >= 1 && value->field_size <= 256 && names.left % value->field_size == 0, err,
               MQ_BAD_DATA, "%s: damaged MATLAB file (field names)", m->path);
    value->field_count = names.left / value->field_size;
    MQ_TRY(mq_calloc(err, names.left, 1, "field names", &value->fields));
    if (names.left) memcpy(value->fields, names.at, names.left);
    for (size_t i = 0; i < value->field_count; i++)
        value->fields[(i + 1) * value->field_size - 1] = 0; /* names are ended by NUL; make sure */
cleanup:
    return status;
}

/* The product of all dimensions. */
static mq_status read_count(mq_err *err, mq_mat *m, span *in, mq_mat_value *value) {
    mq_status status = MQ_OK;
    span dims = {0};
    MQ_TRY(take_typed(err, m, in, MI_INT32, &dims));
    MQ_REQUIRE(dims.left >= 8 && dims.left % 4 == 0, err, MQ_BAD_DATA, "%s: damaged MATLAB file (sizes)",
               m->path);
    value->count = 1;
    for (size_t i = 0; i < dims.left; i += 4) {
        const uint32_t side = mq_read_u32(dims.at + i);
        MQ_REQUIRE(side <= INT32_MAX && mq_mul(value->count, side, &value->count), err, MQ_BAD_DATA,
                   "%s: damaged MATLAB file (sizes)", m->path);
    }
cleanup:
    return status;
}

/* Flags, dimensions, name and then what its class asks for. */
static mq_status read_matrix(mq_err *err, mq_mat *m, span in, unsigned depth, mq_mat_value *value) {
    mq_status status = MQ_OK;
    span flags = {0}, name = {0};
    value->kind = MQ_MAT_OTHER;
    if (in.left == 0) return MQ_OK; /* how MATLAB writes an empty cell */
    MQ_REQUIRE(depth <= DEPTH_LIMIT, err, MQ_BAD_DATA, "%s: values nested deeper than %d", m->path,
               DEPTH_LIMIT);
    MQ_TRY(take_typed(err, m, &in, MI_UINT32, &flags));
    MQ_REQUIRE(flags.left == 8, err, MQ_BAD_DATA, "%s: damaged MATLAB file (flags)", m->path);
    const unsigned class = flags.at[0];
    if (class != MX_CELL && class != MX_STRUCT && class != MX_CHAR &&
        (class < MX_DOUBLE || class > MX_UINT64))
        return MQ_OK; /* objects, functions, sparse matrices: there, but nothing to us */
    MQ_TRY(read_count(err, m, &in, value));
    MQ_TRY(take_typed(err, m, &in, MI_INT8, &name));
    MQ_TRY(mq_calloc(err, name.left + 1, 1, "a name", &value->name));
    if (name.left) memcpy(value->name, name.at, name.left);
    if (class == MX_CHAR) {
        MQ_TRY(read_text(err, m, &in, value));
    } else if (class >= MX_DOUBLE) {
        MQ_TRY(read_numbers(err, m, &in, value));
    } else {
        value->kind = MQ_MAT_CELL;
        if (class == MX_STRUCT) MQ_TRY(read_fields(err, m, &in, value));
        MQ_TRY(read_children(err, m, &in, depth, value));
    }
cleanup:
    return status;
}

/* Unpacks one zlib element into a buffer that the file keeps. */
static mq_status unpack(mq_err *err, mq_mat *m, span packed, span *data) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_grow(err, &m->unpacked, &m->unpacked_capacity, m->unpacked_count + 1, sizeof *m->unpacked));
    mq_buf *out = &m->unpacked[m->unpacked_count++];
    *out = mq_buf_init(MQ_INFLATE_MAX - m->unpacked_bytes);
    MQ_TRY(mq_inflate(err, m->path, packed.at, packed.left, out));
    m->unpacked_bytes += out->size;
    *data = (span){out->data, out->size};
cleanup:
    return status;
}

/* Files of other kinds are told apart here, so that the message can say what to do. Level 4 has no header:
 * it begins with small numbers, the fifth the length of a name. */
static mq_status check_header(mq_err *err, const mq_mat *m) {
    mq_status status = MQ_OK;
    const uint8_t *p = m->file.data;
    static const uint8_t hdf5[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n'};
    const bool is_hdf5 = (m->file.size >= 8 && memcmp(p, hdf5, 8) == 0) ||
                         (m->file.size >= 520 && memcmp(p + 512, hdf5, 8) == 0) ||
                         (m->file.size >= 10 && memcmp(p, "MATLAB 7.3", 10) == 0);
    MQ_REQUIRE(!is_hdf5, err, MQ_BAD_DATA,
               "%s: a MATLAB file of version 7.3 (HDF5); save it in MATLAB with -v7", m->path);
    MQ_REQUIRE(m->file.size >= 20, err, MQ_BAD_DATA, "%s: not a MATLAB file", m->path);
    const bool level4 = mq_read_u32(p) < 5000 && mq_read_u32(p + 16) >= 1 && mq_read_u32(p + 16) < 4096;
    MQ_REQUIRE(!level4, err, MQ_BAD_DATA, "%s: a MATLAB file of level 4; save it in MATLAB with -v7",
               m->path);
    MQ_REQUIRE(m->file.size >= HEADER && memcmp(p + 126, "MI", 2) != 0, err, MQ_BAD_DATA, "%s: %s", m->path,
               m->file.size < HEADER ? "not a MATLAB file"
                                     : "a big-endian MATLAB file; save it again on an ordinary computer");
    MQ_REQUIRE(memcmp(p + 126, "IM", 2) == 0 && p[125] == 1, err, MQ_BAD_DATA, "%s: not a MATLAB file",
               m->path);
cleanup:
    return status;
}

static mq_status read_variables(mq_err *err, mq_mat *m) {
    mq_status status = MQ_OK;
    for (span in = {m->file.data + HEADER, m->file.size - HEADER}; in.left;) {
        uint32_t type = 0;
        span data = {0};
        MQ_TRY(take_element(err, m, &in, &type, &data));
        if (type == MI_COMPRESSED) {
            span unpacked = {0};
            MQ_TRY(unpack(err, m, data, &unpacked));
            MQ_TRY(take_element(err, m, &unpacked, &type, &data));
        }
        if (type != MI_MATRIX) continue;
        MQ_REQUIRE(m->variable_count < VARIABLES_MAX, err, MQ_BAD_DATA, "%s: more than %d variables", m->path,
                   VARIABLES_MAX);
        MQ_TRY(
            mq_grow(err, &m->variables, &m->variable_capacity, m->variable_count + 1, sizeof *m->variables));
        mq_mat_value *value = &m->variables[m->variable_count++];
        *value = (mq_mat_value){0};
        MQ_TRY(read_matrix(err, m, data, 1, value));
    }
cleanup:
    return status;
}

mq_status mq_mat_open(mq_err *err, const char *path, mq_mat **mat) {
    mq_status status = MQ_OK;
    mq_mat *m = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *m, "a MATLAB file", &m));
    m->file = mq_buf_init(FILE_LIMIT);
    MQ_TRY(mq_strdup(err, path, &m->path));
    MQ_TRY(mq_file_read(err, path, &m->file));
    MQ_TRY(check_header(err, m));
    MQ_TRY(read_variables(err, m));
    *mat = m;
    m = NULL;
cleanup:
    mq_mat_free(&m);
    return status;
}

/* As deep as read_matrix went, no deeper. */
static void free_value(mq_mat_value *value) {
    for (size_t i = 0; i < value->child_count; i++) free_value(&value->children[i]);
    free(value->children);
    free(value->fields);
    free(value->text);
    free(value->name);
}

void mq_mat_free(mq_mat **mat) {
    mq_mat *m = *mat;
    if (!m) return;
    for (size_t i = 0; i < m->variable_count; i++) free_value(&m->variables[i]);
    for (size_t i = 0; i < m->unpacked_count; i++) mq_buf_free(&m->unpacked[i]);
    free(m->variables);
    free(m->unpacked);
    mq_buf_free(&m->file);
    free(m->path);
    free(m);
    *mat = NULL;
}

const mq_mat_value *mq_mat_get(const mq_mat *mat, const char *name) {
    for (size_t i = 0; i < mat->variable_count; i++)
        if (mat->variables[i].name && strcmp(mat->variables[i].name, name) == 0) return &mat->variables[i];
    return NULL;
}

mq_mat_kind mq_mat_kind_of(const mq_mat_value *value) {
    return value->kind;
}

size_t mq_mat_count(const mq_mat_value *value) {
    return value->kind == MQ_MAT_OTHER ? 0 : value->count;
}

const mq_mat_value *mq_mat_cell(const mq_mat_value *value, size_t index) {
    return value && value->kind == MQ_MAT_CELL && index < value->count ? &value->children[index] : NULL;
}

const mq_mat_value *mq_mat_field(const mq_mat_value *value, size_t index, const char *name) {
    if (!value || value->kind != MQ_MAT_STRUCT || index >= value->count) return NULL;
    for (size_t i = 0; i < value->field_count; i++)
        if (strcmp(value->fields + i * value->field_size, name) == 0)
            return &value->children[index * value->field_count + i];
    return NULL;
}

bool mq_mat_number(const mq_mat_value *value, size_t index, double *number) {
    if (!value || value->kind != MQ_MAT_NUMBERS || index >= value->count) return false;
    const uint8_t *p = value->numbers + index * type_size(value->type);
    const uint64_t bits = type_size(value->type) == 8 ? mq_read_u64(p) : 0;
    const uint32_t word = type_size(value->type) == 4 ? mq_read_u32(p) : 0;
    float single;
    memcpy(&single, &word, sizeof single);
    switch (value->type) {
    case MI_INT8:
        *number = (int8_t)p[0];
        break;
    case MI_UINT8:
    case MI_UTF8:
        *number = p[0];
        break;
    case MI_INT16:
        *number = (int16_t)(p[0] | p[1] << 8);
        break;
    case MI_UINT16:
    case MI_UTF16:
        *number = p[0] | p[1] << 8;
        break;
    case MI_INT32:
        *number = (int32_t)word;
        break;
    case MI_UINT32:
    case MI_UTF32:
        *number = word;
        break;
    case MI_SINGLE:
        *number = (double)single;
        break;
    case MI_INT64:
        *number = (double)(int64_t)bits;
        break;
    case MI_UINT64:
        *number = (double)bits;
        break;
    default:
        memcpy(number, &bits, sizeof *number);
    }
    return true;
}

const char *mq_mat_text(const mq_mat_value *value) {
    return value && value->kind == MQ_MAT_TEXT ? value->text : NULL;
}
