/* class_weights.h: how much the pictures of each class count in the loss. */
#ifndef MQ_CLASS_WEIGHTS_H
#define MQ_CLASS_WEIGHTS_H

#include "data/dataset.h"

/* "balanced" of scikit-learn's compute_class_weight: pictures / (classes x pictures of the class), over the
 * training pictures subset [count] (indexes into the training part) and the classes that have any of them. So
 * the weights of all pictures have the mean 1. *weights [classes] is the caller's, for free(). */
MQ_MUST_USE mq_status mq_class_weights_balanced(mq_err *err, const mq_dataset *dataset,
                                                const uint32_t *subset, size_t count, float **weights);

/* From a CSV file with the columns class and weight (0 and more). What it does not name counts 1, as in
 * Keras' class_weight; a name that is no class, or comes twice, and a weight that is none are MQ_BAD_DATA,
 * naming the line. *weights [classes] is the caller's, for free(). */
MQ_MUST_USE mq_status mq_class_weights_read(mq_err *err, const char *path, const mq_dataset *dataset,
                                            float **weights);

#endif
