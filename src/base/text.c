/* text.c: small services on text. Called by messages, tables and CSV writers.
 * Invariant: bytes from outside reach a terminal only through mq_text_safe. */
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Bytes of the UTF-8 sequence at p, 0 when it is invalid (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const uint8_t *p) {
    if (p[0] < 0x80) return 1;
    size_t n;
    uint32_t code;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        n = 2, code = p[0] & 0x1Fu;
    } else if ((p[0] & 0xF0) == 0xE0) {
        n = 3, code = p[0] & 0x0Fu;
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        n = 4, code = p[0] & 0x07u;
    } else {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0; /* also stops at the NUL that ends the text */
        code = code << 6 | (p[i] & 0x3Fu);
    }
    const bool overlong = (n == 3 && code < 0x800) || (n == 4 && code < 0x10000);
    const bool outside = code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF);
    return overlong || outside ? 0 : n;
}

char *mq_text_utf8(const char *text) {
    char *out = malloc(3 * strlen(text) + 1), *o = out;
    if (!out) return NULL;
    for (const uint8_t *p = (const uint8_t *)text; *p;) {
        const size_t n = utf8_length(p);
        memcpy(o, n ? (const char *)p : "\xEF\xBF\xBD", n ? n : 3);
        o += n ? n : 3;
        p += n ? n : 1;
    }
    *o = 0;
    return out;
}

const char *mq_text_safe(const char *text, char *out, size_t size) {
    size_t used = 0;
    for (const uint8_t *p = (const uint8_t *)text; *p;) {
        const size_t n = utf8_length(p);
        const bool control = *p < 0x20 || *p == 0x7F || (n == 2 && p[0] == 0xC2 && p[1] < 0xA0);
        const size_t take = n && !control ? n : 1;
        if (used + take + 1 > size) break;
        memcpy(out + used, n && !control ? (const char *)p : "?", take);
        used += take;
        p += n ? n : 1;
    }
    if (size) out[used] = 0;
    return out;
}

mq_status mq_csv_field(mq_err *err, mq_buf *row, const char *text) {
    const size_t size = strlen(text);
    const bool edge = size && (text[0] == ' ' || text[size - 1] == ' ');
    if (!edge && !strpbrk(text, ",\"\r\n")) return mq_buf_add(err, row, text, size);
    mq_status status = mq_buf_add(err, row, "\"", 1);
    for (const char *p = text; status == MQ_OK && *p; p++)
        status = mq_buf_add(err, row, *p == '"' ? "\"\"" : p, *p == '"' ? 2 : 1);
    return status == MQ_OK ? mq_buf_add(err, row, "\"", 1) : status;
}

enum { WORD_LIMIT = 64 };

/* Levenshtein's distance, one row of the table at a time. */
static size_t edit_distance(const char *a, const char *b) {
    const size_t m = strlen(a), n = strlen(b);
    size_t row[WORD_LIMIT + 1];
    if (m > WORD_LIMIT || n > WORD_LIMIT) return SIZE_MAX;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const size_t up = row[j], replaced = diagonal + (a[i - 1] != b[j - 1]);
            const size_t moved = (up < row[j - 1] ? up : row[j - 1]) + 1;
            row[j] = replaced < moved ? replaced : moved;
            diagonal = up;
        }
    }
    return row[n];
}

const char *mq_text_nearest(const char *word, const char *const *names) {
    const char *best = NULL;
    size_t distance = strlen(word) / 2 + 1;
    for (; *names; names++) {
        const size_t d = edit_distance(word, *names);
        if (d < distance) distance = d, best = *names;
    }
    return best;
}

const char *mq_text_count(uint64_t count, char out[32]) {
    char digits[24];
    const int n = snprintf(digits, sizeof digits, "%" PRIu64, count);
    char *o = out;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) *o++ = ',';
        *o++ = digits[i];
    }
    *o = 0;
    return out;
}

bool mq_text_ends(const char *text, const char *end) {
    const size_t length = strlen(text), tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

bool mq_text_ends_alike(const char *text, const char *end) {
    const size_t length = strlen(text), tail = strlen(end);
    return length > tail && strcasecmp(text + length - tail, end) == 0;
}

const char *mq_text_word(const char *text, mq_word *room) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+=:@%,-";
    const char *const path = text[0] == '-' && text[1] ? "./" : "", *const quote = "'\\''";
    const size_t most = sizeof room->text - strlen(quote) - 2; /* and the closing quote, and NUL */
    const bool safe = *text && !text[strspn(text, plain)];
    if (safe && !*path) return text;
    size_t used = (size_t)snprintf(room->text, sizeof room->text, "%s%s", safe ? "" : "'", path);
    for (const char *c = text; *c && used < most; c++) {
        const bool is_quote = *c == '\'';
        memcpy(room->text + used, is_quote ? quote : c, is_quote ? strlen(quote) : 1);
        used += is_quote ? strlen(quote) : 1;
    }
    if (used >= most) return text;
    snprintf(room->text + used, sizeof room->text - used, "%s", safe ? "" : "'");
    return room->text;
}

char *mq_text_cut(char *text, char mark) {
    char *at = strchr(text, mark);
    if (at) *at++ = 0;
    return at;
}

size_t mq_text_mark(const void *text, size_t size) {
    static const char mark[] = "\xef\xbb\xbf";
    const size_t length = sizeof mark - 1;
    return size >= length && memcmp(text, mark, length) == 0 ? length : 0;
}

double mq_text_nine_digits(double value) {
    char text[32];
    snprintf(text, sizeof text, "%.9g", value);
    return strtod(text, NULL);
}
