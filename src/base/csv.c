/* csv.c: a CSV file in memory, cut into fields in place. Called by the
 * importer and by readers of split.csv. Invariant: a field never reaches past
 * the text, whose last byte is NUL. */
#include "base/csv.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>

enum { COLUMNS_MAX = 1000 };
static const size_t FILE_LIMIT = (size_t)4 << 30; /* split.csv of some 30 million pictures */

struct mq_csv {
    char *path;
    mq_buf text;
    char *at;        /* the first byte not read yet */
    char comma;      /* what stands between fields */
    size_t line;     /* lines before at */
    size_t row_line; /* where the row begins, from 1 */
    char **names;    /* of the columns, pointing into text */
    size_t columns;  /* names */
    char **fields;   /* of the row, pointing into text */
    size_t count;    /* fields in the row */
    size_t capacity; /* of fields */
};

/* A line may end in CR LF, and in CR CR LF where a program wrote CR LF for each LF of the former. */
static bool ends_field(const mq_csv *csv, const char *p) {
    if (*p == csv->comma) return true;
    if (*p == '\r') p += strspn(p, "\r");
    return !*p || *p == '\n';
}

/* Cuts one field off; quotes are undone in place. *last says that the row ends behind it. */
static mq_status cut_field(mq_err *err, mq_csv *csv, char **field, bool *last) {
    char *in = csv->at, *out = in;
    *field = in;
    if (*in == '"') {
        for (in++;; in++) {
            if (!*in)
                return mq_fail(err, MQ_BAD_DATA, "%s:%zu: a quoted field never ends", csv->path,
                               csv->row_line);
            if (*in == '"' && *++in != '"') break;
            csv->line += *in == '\n';
            *out++ = *in;
        }
        if (!ends_field(csv, in))
            return mq_fail(err, MQ_BAD_DATA,
                           "%s:%zu: text behind the quote that ends a field; a quote inside one is doubled",
                           csv->path, csv->row_line);
    }
    while (!ends_field(csv, in)) *out++ = *in++;
    *last = *in != csv->comma;
    in += strspn(in, "\r");
    csv->line += *in == '\n';
    csv->at = *in ? in + 1 : in;
    *out = 0;
    return MQ_OK;
}

static mq_status cut_row(mq_err *err, mq_csv *csv) {
    mq_status status = MQ_OK;
    csv->row_line = csv->line + 1;
    csv->count = 0;
    for (bool last = false; !last; csv->count++) {
        MQ_REQUIRE(csv->count < COLUMNS_MAX, err, MQ_BAD_DATA, "%s:%zu: more than %d columns", csv->path,
                   csv->row_line, COLUMNS_MAX);
        MQ_TRY(mq_grow(err, &csv->fields, &csv->capacity, csv->count + 1, sizeof *csv->fields));
        MQ_TRY(cut_field(err, csv, &csv->fields[csv->count], &last));
    }
cleanup:
    return status;
}

mq_status mq_csv_parse(mq_err *err, const char *what, mq_buf *text, char comma, mq_csv **csv) {
    mq_status status = MQ_OK;
    mq_csv *c = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *c, "a CSV file", &c));
    c->text = *text;
    *text = mq_buf_init(0);
    MQ_TRY(mq_strdup(err, what, &c->path));
    c->comma = comma;
    MQ_REQUIRE(c->text.size && !memchr(c->text.data, 0, c->text.size), err, MQ_BAD_DATA, "%s: %s", what,
               c->text.size ? "holds NUL bytes, so it is no CSV file" : "is empty; it needs a row of names");
    c->at = (char *)c->text.data + mq_text_mark(c->text.data, c->text.size);
    MQ_TRY(cut_row(err, c));
    c->names = c->fields;
    c->columns = c->count;
    c->fields = NULL;
    c->capacity = c->count = 0;
    *csv = c;
    c = NULL;
cleanup:
    mq_csv_free(&c);
    mq_buf_free(text);
    return status;
}

mq_status mq_csv_open(mq_err *err, const char *path, mq_csv **csv) {
    mq_buf text = mq_buf_init(FILE_LIMIT);
    const mq_status status = mq_file_read(err, path, &text);
    if (status == MQ_OK)
        return mq_csv_parse(err, path, &text, mq_text_ends_alike(path, ".tsv") ? '\t' : ',', csv);
    mq_buf_free(&text);
    return status;
}

size_t mq_csv_columns(const mq_csv *csv) {
    return csv->columns;
}

const char *mq_csv_name(const mq_csv *csv, int column) {
    return csv->names[column];
}

int mq_csv_column(const mq_csv *csv, const char *name) {
    for (size_t i = 0; i < csv->columns; i++)
        if (strcmp(csv->names[i], name) == 0) return (int)i;
    return MQ_CSV_NONE;
}

mq_status mq_csv_need(mq_err *err, const mq_csv *csv, const char *name, int *column) {
    char there[200] = "", safe[64];
    *column = mq_csv_column(csv, name);
    if (*column != MQ_CSV_NONE) return MQ_OK;
    for (size_t i = 0, used = 0; i < csv->columns && used + 68 < sizeof there; i++) {
        mq_text_safe(csv->names[i], safe, sizeof safe);
        used = strlen(strcat(strcat(there, i ? ", " : ""), safe));
    }
    const bool semicolons = csv->columns == 1 && strchr(csv->names[0], ';');
    return mq_fail(err, MQ_BAD_DATA, "%s: no column named %s in its first row (there are: %s)%s", csv->path,
                   name, there,
                   semicolons ? "; write commas (.csv) or tabs (.tsv) between fields, not semicolons" : "");
}

mq_status mq_csv_next(mq_err *err, mq_csv *csv, bool *more) {
    mq_status status = MQ_OK;
    for (; *csv->at == '\n' || (csv->at[0] == '\r' && csv->at[1] == '\n'); csv->at++)
        csv->line += *csv->at == '\n';
    *more = *csv->at != 0;
    if (!*more) return MQ_OK;
    MQ_TRY(cut_row(err, csv));
    MQ_REQUIRE(csv->count == csv->columns, err, MQ_BAD_DATA, "%s:%zu: %zu fields where the first row has %zu",
               csv->path, csv->row_line, csv->count, csv->columns);
cleanup:
    return status;
}

const char *mq_csv_get(const mq_csv *csv, int column) {
    return csv->fields[column];
}

size_t mq_csv_line(const mq_csv *csv) {
    return csv->row_line;
}

void mq_csv_free(mq_csv **csv) {
    mq_csv *c = *csv;
    if (!c) return;
    mq_buf_free(&c->text);
    free(c->names);
    free(c->fields);
    free(c->path);
    free(c);
    *csv = NULL;
}
