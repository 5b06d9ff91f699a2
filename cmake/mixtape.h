/* Mixtape: everything public. Each header is the manual of its part. */
#ifndef MIXTAPE_H
#define MIXTAPE_H

#include "autograd/gradcheck.h"
#include "autograd/operators.h"
#include "io/checkpoint.h"
#include "io/exchange.h"
#include "io/part.h"
#include "io/text.h"
#include "io/transcripts.h"
#include "kernels/bindings.h"
#include "kernels/device.h"
#include "layers/decoder.h"
#include "optim/adam.h"
#include "optim/schedule.h"

#endif
