/* docs.h: texts made from the tables of commands and options, for `marque docs`. All append to out. */
#ifndef MQ_DOCS_H
#define MQ_DOCS_H

#include "cli/cli.h"

MQ_MUST_USE mq_status mq_docs_man(mq_err *err, mq_buf *out); /* roff, section 1 */
MQ_MUST_USE mq_status mq_docs_bash(mq_err *err, mq_buf *out);
MQ_MUST_USE mq_status mq_docs_zsh(mq_err *err, mq_buf *out);
MQ_MUST_USE mq_status mq_docs_fish(mq_err *err, mq_buf *out);

#endif
