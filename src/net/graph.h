/* graph.h: the network's meaning only: operations, what feeds them, parameters under Keras' names. */
#ifndef MQ_GRAPH_H
#define MQ_GRAPH_H

#include "base/status.h"

typedef struct mq_graph mq_graph;

void mq_graph_free(mq_graph **graph);

#endif
