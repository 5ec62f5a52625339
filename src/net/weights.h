/* weights.h: where the pulled weights of a network lie, and what belongs in them. */
#ifndef MQ_WEIGHTS_H
#define MQ_WEIGHTS_H

#include "net/arch.h"
#include "net/foreign.h"

/* The file where `marque pull` stores a network's weights, whether it is there or not. *path is the caller's,
 * for free(). A name nobody knows: MQ_USAGE. */
MQ_MUST_USE mq_status mq_weights_place(mq_err *err, const char *name, char **path);

/* The same for a file that must be there; else MQ_NO_INPUT with the line to run, the size and the licence. */
MQ_MUST_USE mq_status mq_weights_path(mq_err *err, const char *name, char **path);

/* What a weights file of the graph holds, in the order of Keras' model.layers. The names are borrowed from
 * the graph, list->layers is the caller's, for free(). */
MQ_MUST_USE mq_status mq_weights_list(mq_err *err, const char *network, const mq_graph *graph,
                                      mq_foreign_list *list);

#endif
