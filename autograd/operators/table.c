#include "autograd/operators/table.h"

#define ENTER(operator) &operator,
const mt_op *const mt_operators[] = {EACH_OPERATOR(ENTER) NULL};
