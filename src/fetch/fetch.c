/* fetch.c: all of libcurl. Called by `marque pull`. Owns the .part file and the
 * ETag beside it while a download runs. Invariant: bytes are appended to .part
 * only if the server says they follow those that are there, of the same file;
 * .part gets its final name only after its digest was compared. */
#include "fetch/fetch.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CONNECT_SECONDS = 20,
    SLOW_BYTES = 1000,
    SLOW_SECONDS = 30,
    REDIRECTS = 5,
    ETAG_SIZE = 256,
    HTTP_OK = 200,
    HTTP_PARTIAL = 206
};

typedef struct {
    mq_err *err;
    const char *url, *path;
    const mq_fetch_options *options;
    CURL *curl;
    char *shown;            /* the address for messages */
    char *part, *etag_path; /* the latter: the ETag of what is in .part, and the hash of its address */
    char address[MQ_HEX_SIZE];
    int fd;
    uint64_t have;                          /* bytes in .part */
    uint64_t asked;                         /* where the request wants to go on */
    char known[ETAG_SIZE], seen[ETAG_SIZE]; /* the ETag of what is in .part; that of the present answer */
    uint64_t range_start;
    bool answered; /* the first byte of this answer has come */
    bool changed;  /* the server's file is not the one in .part */
} download;

/* Plain http carries nothing that matters only within this computer. curl says which host it will ask: what
 * stands before an @ is none. */
static bool is_allowed(const char *url) {
    if (strncasecmp(url, "https://", 8) == 0) return true;
    if (strncasecmp(url, "http://", 7) != 0) return false;
    CURLU *parts = curl_url();
    char *host = NULL;
    const bool known = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                       curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    const bool local = known && (strcmp(host, "127.0.0.1") == 0 || strcasecmp(host, "localhost") == 0);
    curl_free(host);
    curl_url_cleanup(parts);
    return local;
}

mq_status mq_fetch_shown(mq_err *err, const char *url, char **shown) {
    const char *scheme = strstr(url, "://"), *host = scheme ? scheme + 3 : url;
    const char *end = host + strcspn(host, "/?#");
    const char *mark = memrchr(host, '@', (size_t)(end - host));
    const char *rest = mark ? mark + 1 : host;
    return mq_format(err, shown, "%.*s%.*s", (int)(host - url), url, (int)strcspn(rest, "?#"), rest);
}

/* The value of a header line if it is the one named ("etag:"), trimmed, into out. */
static bool header_value(const char *line, size_t size, const char *name, char *out, size_t out_size) {
    const size_t n = strlen(name);
    if (size < n || strncasecmp(line, name, n) != 0) return false;
    while (size > n && isspace((unsigned char)line[size - 1])) size--;
    const char *value = line + n, *end = line + size;
    while (value < end && isspace((unsigned char)*value)) value++;
    if ((size_t)(end - value) >= out_size) return false;
    memcpy(out, value, (size_t)(end - value));
    out[end - value] = 0;
    return true;
}

/* curl's callback for each line of a header. Headers of redirects pass here, too; the last answer counts. */
static size_t take_header(char *line, size_t size, size_t count, void *user) {
    download *d = user;
    char text[ETAG_SIZE];
    const size_t bytes = size * count;
    if (bytes >= 5 && strncasecmp(line, "HTTP/", 5) == 0) { /* a new answer, perhaps behind a redirect */
        d->seen[0] = 0;
        d->range_start = UINT64_MAX;
    } else if (header_value(line, bytes, "etag:", text, sizeof text)) {
        memcpy(d->seen, text, sizeof text);
    } else if (header_value(line, bytes, "content-range:", text, sizeof text)) {
        if (strncasecmp(text, "bytes ", 6) == 0) d->range_start = strtoull(text + 6, NULL, 10);
    }
    return bytes;
}

/* Weak ETags promise too little to go on from. */
static bool is_strong(const char *etag) {
    return etag[0] == '"';
}

/* What was there is of another file: begin again. */
static mq_status empty_part(download *d) {
    d->have = 0;
    if (ftruncate(d->fd, 0) == 0) return MQ_OK;
    return mq_fail(d->err, MQ_IO, "%s: cannot be written: %s", d->part, strerror(errno));
}

/* Before the first byte: is this the rest of what we have, or a file from its beginning? */
static mq_status begin_answer(download *d) {
    mq_status status = MQ_OK;
    char *note = NULL;
    long code = 0;
    curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &code);
    d->answered = true;
    if (code == HTTP_PARTIAL) {
        d->changed = !d->asked || d->range_start != d->asked || strcmp(d->seen, d->known) != 0;
        return d->changed ? MQ_INTERNAL : MQ_OK; /* ends this answer; fetch_all starts afresh */
    }
    MQ_TRY(empty_part(d));
    if (is_strong(d->seen)) {
        MQ_TRY(mq_format(d->err, &note, "%s\n%s", d->seen, d->address));
        MQ_TRY(mq_file_write(d->err, d->etag_path, note, strlen(note)));
    } else {
        unlink(d->etag_path);
    }
cleanup:
    free(note);
    return status;
}

/* curl's callback for the body; any other result than bytes ends the transfer. */
static size_t take_data(char *data, size_t size, size_t count, void *user) {
    download *d = user;
    const size_t bytes = size * count;
    if (!d->answered && begin_answer(d) != MQ_OK) return 0;
    if (bytes > d->options->bytes_max - d->have) {
        (void)mq_fail(d->err, MQ_BAD_DATA, "%s: is larger than the %.0f MB marque takes", d->shown,
                      (double)d->options->bytes_max / 1e6);
        return 0;
    }
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = pwrite(d->fd, data + done, bytes - done, (off_t)d->have);
        if (n >= 0) {
            done += (size_t)n;
            d->have += (uint64_t)n;
        } else if (errno != EINTR) {
            (void)mq_fail(d->err, MQ_IO, "%s: cannot be written: %s", d->part, strerror(errno));
            return 0;
        }
    }
    return bytes;
}

/* curl's callback several times a second, also while nothing comes; 1 ends the transfer. */
static int take_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up, curl_off_t up_now) {
    (void)up, (void)up_now;
    const download *d = user;
    const mq_fetch_options *o = d->options;
    if (o->stop && o->stop(o->user)) return 1;
    if (o->progress && d->answered) {
        const uint64_t before = d->have - ((uint64_t)now < d->have ? (uint64_t)now : d->have);
        o->progress(o->user, d->have, total > 0 ? before + (uint64_t)total : o->bytes);
    }
    return 0;
}

/* Slower than SLOW_BYTES a second for SLOW_SECONDS counts as broken, however long the whole takes. */
static void set_options(download *d, char *error) {
    CURL *c = d->curl;
    curl_easy_setopt(c, CURLOPT_URL, d->url);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "marque/" MARQUE_VERSION);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SLOW_SECONDS);
    curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)d->options->bytes_max);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, d);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, d);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, take_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, d);
    if (d->options->ca_file) curl_easy_setopt(c, CURLOPT_CAINFO, d->options->ca_file);
}

/* What curl's failure means to people. */
static mq_status explain(download *d, CURLcode code, const char *error) {
    long http = 0;
    char safe[256];
    const char *why = mq_text_safe(error[0] ? error : curl_easy_strerror(code), safe, sizeof safe);
    curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &http);
    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
        return mq_fail(d->err, MQ_INTERRUPTED, "stopped; the same line goes on with the download");
    case CURLE_HTTP_RETURNED_ERROR:
        return mq_fail(d->err, MQ_UNAVAILABLE, "%s: the server answers %ld", d->shown, http);
    case CURLE_FILESIZE_EXCEEDED:
        return mq_fail(d->err, MQ_BAD_DATA, "%s: is larger than the %.0f MB marque takes", d->shown,
                       (double)d->options->bytes_max / 1e6);
    case CURLE_UNSUPPORTED_PROTOCOL:
        return mq_fail(d->err, MQ_UNAVAILABLE, "%s: leads to an address that is not https", d->shown);
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_OPERATION_TIMEDOUT:
        if (d->have)
            return mq_fail(d->err, MQ_UNAVAILABLE,
                           "%s: the connection broke after %llu bytes (%s); the same line goes on from there",
                           d->shown, (unsigned long long)d->have, why);
        break;
    default:
        break;
    }
    return mq_fail(d->err, MQ_UNAVAILABLE, "%s: cannot be reached: %s", d->shown, why);
}

/* One request. MQ_OK also when d->changed says that it must be made again from the beginning. */
static mq_status request(download *d) {
    mq_status status = MQ_OK;
    char error[CURL_ERROR_SIZE] = "", range[32];
    char condition[ETAG_SIZE + 16];
    struct curl_slist *headers = NULL;
    d->answered = d->changed = false;
    d->asked = d->have;
    d->curl = curl_easy_init();
    MQ_REQUIRE(d->curl, d->err, MQ_INTERNAL, "libcurl cannot start");
    set_options(d, error);
    if (d->have) {
        snprintf(range, sizeof range, "%llu-", (unsigned long long)d->have);
        snprintf(condition, sizeof condition, "If-Range: %s", d->known);
        headers = curl_slist_append(NULL, condition);
        MQ_REQUIRE(headers, d->err, MQ_NO_MEMORY, "no memory for a request");
        curl_easy_setopt(d->curl, CURLOPT_RANGE, range);
        curl_easy_setopt(d->curl, CURLOPT_HTTPHEADER, headers);
    }
    const CURLcode code = curl_easy_perform(d->curl);
    long http = 0;
    curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &http);
    if (d->have && code == CURLE_HTTP_RETURNED_ERROR && http == 416)
        d->changed = true;                                          /* nothing follows there */
    if (code == CURLE_OK && !d->answered) status = begin_answer(d); /* an empty file */
    if (code != CURLE_OK && !d->changed) status = d->err->code ? d->err->code : explain(d, code, error);
cleanup:
    curl_slist_free_all(headers);
    curl_easy_cleanup(d->curl);
    d->curl = NULL;
    return status;
}

/* Opens .part and decides from where to go on. Without a strong ETag, or from another address, which may give
 * another file the same one: from the beginning. */
static mq_status open_part(download *d) {
    mq_status status = MQ_OK;
    struct stat st;
    mq_buf etag = mq_buf_init(ETAG_SIZE + MQ_HEX_SIZE);
    char *address = NULL;
    mq_err ignored = {0};
    d->fd = open(d->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    MQ_REQUIRE(d->fd >= 0 && fstat(d->fd, &st) == 0, d->err, mq_status_of_errno(errno, MQ_CANNOT_CREATE),
               "%s: cannot be written: %s", d->part, strerror(errno));
    d->have = (uint64_t)st.st_size;
    MQ_TRY(mq_sha256_hex(d->err, d->url, strlen(d->url), d->address));
    if (mq_file_read(&ignored, d->etag_path, &etag) == MQ_OK && etag.size)
        address = mq_text_cut((char *)etag.data, '\n');
    if (address && strcmp(address, d->address) == 0)
        snprintf(d->known, sizeof d->known, "%s", (const char *)etag.data);
    if (!is_strong(d->known) || strpbrk(d->known, "\r\n") || d->have > d->options->bytes_max)
        MQ_TRY(empty_part(d));
cleanup:
    mq_buf_free(&etag);
    return status;
}

/* Wrong content is removed, or the next try would go on from it for ever. */
static mq_status check_digest(download *d) {
    mq_status status = MQ_OK;
    char hex[MQ_HEX_SIZE], head[64] = "";
    const char *wanted = d->options->digest;
    if (!wanted) return MQ_OK;
    const bool md5 = strlen(wanted) == 32;
    MQ_TRY(mq_digest_file(d->err, md5 ? MQ_MD5 : MQ_SHA256, d->part, hex));
    if (strcasecmp(hex, wanted) == 0) goto cleanup;
    if (pread(d->fd, head, sizeof head - 1, 0) < 0) head[0] = 0;
    const bool page = head[strspn(head, " \t\r\n\xef\xbb\xbf")] == '<';
    status = mq_fail(d->err, MQ_BAD_DATA,
                     "%s: gave %llu bytes with the %s %s instead of %s%s; nothing of it is kept", d->shown,
                     (unsigned long long)d->have, md5 ? "MD5" : "SHA-256", hex, wanted,
                     page ? " (it is a web page: does this network ask for a login?)" : "");
    unlink(d->part);
    unlink(d->etag_path);
cleanup:
    return status;
}

/* At most two requests: one that goes on, and one from the beginning where the file had changed. */
static mq_status fetch_all(download *d) {
    mq_status status = MQ_OK;
    MQ_TRY(open_part(d));
    const uint64_t room = mq_disk_free(d->part);
    MQ_REQUIRE(d->options->bytes <= d->have || room >= d->options->bytes - d->have, d->err, MQ_IO,
               "%s: %.0f MB are free, but %.0f are needed", d->part, (double)room / 1e6,
               (double)d->options->bytes / 1e6);
    MQ_TRY(request(d));
    if (d->changed) {
        MQ_TRY(empty_part(d));
        MQ_TRY(request(d));
        MQ_REQUIRE(!d->changed, d->err, MQ_UNAVAILABLE, "%s: the server answers with a part nobody asked for",
                   d->shown);
    }
    MQ_TRY(check_digest(d));
    MQ_REQUIRE(fsync(d->fd) == 0 && rename(d->part, d->path) == 0, d->err, MQ_IO, "%s: cannot be written: %s",
               d->path, strerror(errno));
    unlink(d->etag_path);
cleanup:
    return status;
}

mq_status mq_fetch(mq_err *err, const char *url, const char *path, const mq_fetch_options *options) {
    mq_status status = MQ_OK;
    download d = {.err = err, .url = url, .path = path, .options = options, .fd = -1};
    MQ_TRY(mq_fetch_shown(err, url, &d.shown));
    MQ_REQUIRE(is_allowed(url), err, MQ_USAGE, "%s: marque downloads by https:// only", d.shown);
    MQ_TRY(mq_format(err, &d.part, "%s.part", path));
    MQ_TRY(mq_format(err, &d.etag_path, "%s.part.etag", path));
    MQ_TRY(fetch_all(&d));
cleanup:
    if (status != MQ_OK && d.fd >= 0 && !d.have) unlink(d.part); /* nothing to go on from */
    if (d.fd >= 0) close(d.fd);
    free(d.shown);
    free(d.part);
    free(d.etag_path);
    return status;
}
