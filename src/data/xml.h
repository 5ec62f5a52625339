/* xml.h: small XML files read an element at a time, by expat, which is known to xml.c alone. */
#ifndef MQ_XML_H
#define MQ_XML_H

#include "base/status.h"

enum { MQ_XML_MAX = 16 << 20, MQ_XML_DEPTH = 16, MQ_XML_TEXT = 4096 };

/* Called where an element ends. path is its place, "annotation/object/name"; text is what stands in it
 * outside of other elements, without blanks at its edges, UTF-8. Both borrowed until it returns. */
typedef mq_status (*mq_xml_element)(mq_err *err, void *user, const char *path, const char *text);

/* Reads text (size bytes, at most MQ_XML_MAX) in its order until visit fails. what names it in messages.
 * Attributes are passed over. Damage, a document type declaration (so there are no entities to unfold) and
 * more than MQ_XML_DEPTH elements in each other or MQ_XML_TEXT bytes of text in one are MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_xml_read(mq_err *err, const char *what, const void *text, size_t size,
                                  mq_xml_element visit, void *user);

#endif
