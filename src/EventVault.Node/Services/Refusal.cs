using System.Text;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Node.Services;

/// <summary>Why a call, or one append of a session, failed: the status, and the typed detail that goes with it.</summary>
/// <param name="Code">The gRPC status.</param>
/// <param name="Detail">At least one failure; the first one's message is the status message.</param>
internal sealed record Refusal(RpcCode Code, ErrorDetail Detail)
{
    /// <summary>Trailer that carries the detail.</summary>
    public const string TrailerKey = "eventvault-error-bin";

    /// <summary>
    /// Most bytes of a detail in a trailer. C-core takes 8 KiB of them in all, and others not much more: beyond it the client
    /// sees a broken connection instead of what failed. In base64 this is two thirds of the 8 KiB.
    /// </summary>
    private const int MostTrailerBytes = 4096;

    /// <summary>
    /// Most bytes of the status message as it is sent, where a character outside ASCII takes up to twelve: what the detail
    /// leaves of the 8 KiB, less half a KiB for the other headers. The detail has the whole message.
    /// </summary>
    private const int MostStatusBytes = 2048;

    /// <summary>Room for the sentence that counts what is left out.</summary>
    private const int MoreBytes = 64;

    private const string Ellipsis = "...";

    public Refusal(RpcCode code, Failure failure)
        : this(code, new ErrorDetail { Failures = { failure } })
    {
    }

    /// <summary>For people.</summary>
    public string Message => Detail.Failures[0].Message;

    /// <summary>
    /// Whether an append session ends with it: leadership, overload, fullness, drain, time-out or an unknown outcome.
    /// Everything behind such an append is refused with it.
    /// </summary>
    public bool EndsSession => Code is RpcCode.Unavailable or RpcCode.ResourceExhausted or RpcCode.DeadlineExceeded;

    public RpcException ToException(Exception? cause = null)
    {
        var detail = ForTrailer();
        var message = Cut(detail.Failures[0].Message, MostStatusBytes, static rune => rune.Value is >= ' ' and <= '~' and not '%' ? 1 : 3 * rune.Utf8SequenceLength);
        return new(Code, message, new RpcMetadata().Add(TrailerKey, detail.ToByteArray()), cause);
    }

    // The first failures as far as there is room, at least one, and how many more there are. A session's answer has room for all.
    private ErrorDetail ForTrailer()
    {
        if (Detail.CalculateSize() <= MostTrailerBytes)
        {
            return Detail;
        }

        var told = new ErrorDetail();
        foreach (var failure in Detail.Failures)
        {
            told.Failures.Add(failure.Clone());
            if (told.CalculateSize() > MostTrailerBytes - MoreBytes && told.Failures.Count > 1)
            {
                told.Failures.RemoveAt(told.Failures.Count - 1);
                break;
            }
        }

        // One alone can be too long only by its texts: names are bounded. Lengths before them may shrink, too, never grow.
        var first = told.Failures[0];
        first.Message = CutBy(first.Message, told.CalculateSize() - (MostTrailerBytes - MoreBytes));
        first.Why = CutBy(first.Why, told.CalculateSize() - (MostTrailerBytes - MoreBytes));
        if (Detail.Failures.Count > told.Failures.Count)
        {
            told.Failures[^1].Message += FormattableString.Invariant($" {Detail.Failures.Count - told.Failures.Count} more checks failed.");
        }

        return told;
    }

    private static string CutBy(string text, int bytes) =>
        bytes <= 0 ? text : Cut(text, Math.Max(Encoding.UTF8.GetByteCount(text) - bytes, Ellipsis.Length), static rune => rune.Utf8SequenceLength);

    // As much of a text as fits, by what each character takes.
    private static string Cut(string text, int most, Func<Rune, int> cost)
    {
        var (length, taken, kept) = (0, 0, 0);
        foreach (var rune in text.EnumerateRunes())
        {
            taken += cost(rune);
            if (taken > most)
            {
                return string.Concat(text.AsSpan(0, kept), Ellipsis);
            }

            length += rune.Utf16SequenceLength;
            kept = taken <= most - Ellipsis.Length ? length : kept;
        }

        return text;
    }

    public AppendError ToAppendError() => new() { Code = (int)Code, Message = Message, Detail = Detail };
}
