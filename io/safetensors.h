/* The format (github.com/huggingface/safetensors): eight bytes with the length of a JSON header,
 * the header, which gives each tensor's type, shape and place, and the data, which the tensors fill
 * without gap or overlap. Numbers are little-endian. Internal. */
#ifndef MT_IO_SAFETENSORS_H
#define MT_IO_SAFETENSORS_H

enum { MT_SAFETENSORS_LENGTH = 8 }; /* bytes in front of the header */

#endif
