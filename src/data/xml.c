/* xml.c: all of expat. Called by import_voc.c. Owns the parser and the state of
 * the walk. Invariant: after the first failure nothing more is visited, and a
 * hostile file takes no more memory than its size and the limits in xml.h. */
#include "data/xml.h"

#include <expat.h>
#include <string.h>

enum { PATH_MAX_BYTES = 512 };
static const char BLANKS[] = " \t\r\n";

typedef struct {
    XML_Parser parser;
    mq_xml_element visit;
    void *user;
    mq_err *err;
    const char *what;
    mq_status status;
    char path[PATH_MAX_BYTES]; /* of the elements that are open */
    char text[MQ_XML_TEXT];    /* of them all, one behind the other */
    size_t used;               /* of text */
    size_t begin[MQ_XML_DEPTH + 1];
    size_t depth;
} walk;

/* The first failure ends the parsing; expat may still deliver what it has begun. */
static void end_with(walk *w, mq_status status) {
    if (w->status != MQ_OK) return;
    w->status = status;
    XML_StopParser(w->parser, XML_FALSE);
}

static void refuse(walk *w, const char *words) {
    if (w->status != MQ_OK) return;
    end_with(w, mq_fail(w->err, MQ_BAD_DATA, "%s:%lu: %s", w->what,
                        (unsigned long)XML_GetCurrentLineNumber(w->parser), words));
}

static void XMLCALL on_doctype(void *user, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int internal) {
    (void)name, (void)system, (void)public, (void)internal;
    refuse(user, "has a document type declaration, which annotations have no need of");
}

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attributes) {
    walk *w = user;
    const size_t path = strlen(w->path), length = strlen(name);
    (void)attributes;
    if (w->status != MQ_OK) return;
    if (w->depth == MQ_XML_DEPTH || path + length + 2 > sizeof w->path) {
        refuse(w, "elements in elements, too many for annotations");
        return;
    }
    while (w->used > w->begin[w->depth] && strchr(BLANKS, w->text[w->used - 1])) w->used--; /* indentation */
    w->begin[++w->depth] = w->used;
    if (path) w->path[path] = '/';
    memcpy(w->path + path + (path > 0), name, length + 1);
}

static void XMLCALL on_text(void *user, const XML_Char *text, int size) {
    walk *w = user;
    if (w->status != MQ_OK) return;
    if ((size_t)size >= sizeof w->text - w->used) {
        refuse(w, "more text in an element than annotations have");
        return;
    }
    memcpy(w->text + w->used, text, (size_t)size);
    w->used += (size_t)size;
}

static void XMLCALL on_end(void *user, const XML_Char *name) {
    walk *w = user;
    (void)name;
    if (w->status != MQ_OK) return;
    char *text = w->text + w->begin[w->depth];
    w->text[w->used] = 0;
    while (w->used > w->begin[w->depth] && strchr(BLANKS, w->text[w->used - 1])) w->text[--w->used] = 0;
    const mq_status status = w->visit(w->err, w->user, w->path, text + strspn(text, BLANKS));
    if (status != MQ_OK) end_with(w, status);
    w->used = w->begin[w->depth--];
    char *slash = strrchr(w->path, '/');
    *(slash ? slash : w->path) = 0;
}

mq_status mq_xml_read(mq_err *err, const char *what, const void *text, size_t size, mq_xml_element visit,
                      void *user) {
    walk w = {.visit = visit, .user = user, .err = err, .what = what, .status = MQ_OK};
    if (size > MQ_XML_MAX)
        return mq_fail(err, MQ_BAD_DATA, "%s: larger than annotations are (%d MB)", what, MQ_XML_MAX >> 20);
    w.parser = XML_ParserCreate(NULL);
    if (!w.parser) return mq_fail(err, MQ_NO_MEMORY, "no memory to read %s", what);
    XML_SetUserData(w.parser, &w);
    XML_SetStartDoctypeDeclHandler(w.parser, on_doctype);
    XML_SetElementHandler(w.parser, on_start, on_end);
    XML_SetCharacterDataHandler(w.parser, on_text);
    if (XML_Parse(w.parser, text, (int)size, XML_TRUE) == XML_STATUS_ERROR && w.status == MQ_OK)
        refuse(&w, XML_ErrorString(XML_GetErrorCode(w.parser)));
    XML_ParserFree(w.parser);
    return w.status;
}
