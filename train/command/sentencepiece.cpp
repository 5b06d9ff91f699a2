#include "train/command/sentencepiece.h"

#include "train/command/tokenizer_frames.h"

extern "C" {
#include "io/utf8.h"
}

#include <sentencepiece_processor.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

using sentencepiece::util::Status;

struct sentencepiece_model {
    std::string name;
    std::string answer;
    sentencepiece::SentencePieceProcessor library;
};

namespace
{

/* What goes back as a message. */
struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/* The first line of what the library says. */
void check(const sentencepiece_model &model, const Status &status)
{
    const size_t most = 256;
    if (!status.ok()) {
        const std::string said = status.ToString();
        throw Failure(model.name + ": " + said.substr(0, said.find('\n')).substr(0, most));
    }
}

/* The place of the first byte that is not UTF-8, or the size. */
size_t utf8_end(const char *text, size_t size)
{
    const char *at = mt_utf8_end(text);
    while (at < text + size && *at == '\0') {
        at = mt_utf8_end(at + 1);
    }
    return static_cast<size_t>(at - text);
}

void check_text(const std::string &text)
{
    const size_t end = utf8_end(text.c_str(), text.size());
    if (end < text.size()) {
        char said[64];
        snprintf(said, sizeof said, "byte 0x%02x at %zu is not UTF-8",
                 static_cast<unsigned>(static_cast<unsigned char>(text[end])), end);
        throw Failure(said);
    }
}

/* The command is on the same machine, which is little-endian. */
template <typename Number> void append(std::string &bytes, Number number)
{
    bytes.append(reinterpret_cast<const char *>(&number), sizeof number);
}

template <typename Number> Number number_at(const std::string &bytes, size_t at)
{
    Number number;
    memcpy(&number, bytes.data() + at, sizeof number);
    return number;
}

void append_piece(std::string &bytes, const std::string &piece)
{
    append(bytes, static_cast<uint32_t>(piece.size()));
    bytes += piece;
}

/* ---- the answers ---- */

/* Pieces become tokens of lists, which are UTF-8. */
void check_pieces(const sentencepiece_model &model)
{
    for (int id = 0; id < model.library.GetPieceSize(); id++) {
        const std::string &piece = model.library.IdToPiece(id);
        if (utf8_end(piece.c_str(), piece.size()) < piece.size()) {
            throw Failure(model.name + ": its piece " + std::to_string(id) + " is not UTF-8");
        }
    }
}

void load(sentencepiece_model &model, const std::string &file)
{
    if (!model.library.LoadFromSerializedProto(file).ok()) {
        throw Failure(model.name + ": cut or damaged: SentencePiece does not take it for a model");
    }
    if (model.library.GetPieceSize() < 1) {
        throw Failure(model.name + ": a model without pieces");
    }
    check_pieces(model);
    append(model.answer, static_cast<int64_t>(model.library.GetPieceSize()));
    append(model.answer, true); /* it splits */
}

void encode(sentencepiece_model &model, const std::string &text)
{
    std::vector<int> ids;
    check_text(text);
    check(model, model.library.Encode(text, &ids));
    for (int id : ids) {
        append(model.answer, static_cast<int32_t>(id));
    }
}

void decode(sentencepiece_model &model, const std::string &bytes)
{
    std::vector<int> ids;
    for (size_t at = 0; at + sizeof(int32_t) <= bytes.size(); at += sizeof(int32_t)) {
        const int id = number_at<int32_t>(bytes, at);
        if (id >= 0 && id < model.library.GetPieceSize()) {
            ids.push_back(id);
        }
    }
    check(model, model.library.Decode(ids, &model.answer));
}

void find(sentencepiece_model &model, const std::string &token)
{
    const int id = model.library.PieceToId(token);
    const bool is_piece = id >= 0 && id < model.library.GetPieceSize();
    append(model.answer,
           static_cast<int32_t>(is_piece && model.library.IdToPiece(id) == token ? id : -1));
}

void tell_pieces(sentencepiece_model &model, const std::string & /* nothing */)
{
    for (int id = 0; id < model.library.GetPieceSize(); id++) {
        append_piece(model.answer, model.library.IdToPiece(id));
    }
}

/* The pieces are those of ESPnet's tokenizer: what no piece is, as it stands in the text. */
void split(sentencepiece_model &model, const std::string &text)
{
    std::vector<std::string> pieces;
    check_text(text);
    check(model, model.library.Encode(text, &pieces));
    for (const std::string &piece : pieces) {
        append_piece(model.answer, piece);
    }
}

void join(sentencepiece_model &model, const std::string &bytes)
{
    std::vector<std::string> pieces;
    size_t at = 0;
    while (at + sizeof(uint32_t) <= bytes.size()) {
        const size_t length = number_at<uint32_t>(bytes, at);
        at += sizeof(uint32_t);
        pieces.push_back(bytes.substr(at, length));
        at += pieces.back().size();
    }
    check(model, model.library.Decode(pieces, &model.answer));
}

/* The list that ESPnet's recipes make of a model: for <unk>, <s> and </s> come others. */
void tell_list(sentencepiece_model &model, const std::string & /* nothing */)
{
    const auto &library = model.library;
    append_piece(model.answer, "<blank>");
    append_piece(model.answer, "<unk>");
    for (int id = 0; id < library.GetPieceSize(); id++) {
        if (id != library.unk_id() && id != library.bos_id() && id != library.eos_id()) {
            append_piece(model.answer, library.IdToPiece(id));
        }
    }
    append_piece(model.answer, "<sos/eos>");
}

const struct {
    char asked;
    void (*answer)(sentencepiece_model &model, const std::string &bytes);
} answers[] = {{'L', load},        {'E', encode}, {'D', decode}, {'F', find},
               {'P', tell_pieces}, {'S', split},  {'J', join},   {'V', tell_list}};

void answer(sentencepiece_model &model, char asked, const std::string &bytes)
{
    model.answer.clear();
    for (const auto &row : answers) {
        if (row.asked == asked) {
            row.answer(model, bytes);
        }
    }
}

} // namespace

const char *sentencepiece_version(void)
{
    return SENTENCEPIECE_VERSION;
}

sentencepiece_model *sentencepiece_create(const char *name)
{
    try {
        return new sentencepiece_model{name, {}, {}};
    } catch (const std::exception &) {
        return nullptr;
    }
}

sentencepiece_answer sentencepiece_ask(sentencepiece_model *model, char asked, const char *bytes,
                                       size_t size)
{
    static char said[1024]; /* where there is no memory for a string */
    unsigned char status = FRAME_DAMAGED;
    try {
        answer(*model, asked, std::string(bytes, size));
        return {FRAME_DONE, model->answer.data(), model->answer.size()};
    } catch (const std::bad_alloc &) {
        snprintf(said, sizeof said,
                 "%.512s: it takes more memory than a tokenizer may for %zu bytes: a damaged or "
                 "hostile file",
                 model->name.c_str(), size);
    } catch (const Failure &failure) {
        status = FRAME_FAILED;
        snprintf(said, sizeof said, "%s", failure.what());
    } catch (const std::exception &error) {
        snprintf(said, sizeof said, "%.512s: SentencePiece: %.256s: a damaged or hostile file",
                 model->name.c_str(), error.what());
    }
    return {status, said, strlen(said)};
}
