using System.IO.Pipelines;
using Google.Protobuf;

namespace EventVault.Rpc.Server;

/// <summary>Takes request messages off a call, decoded; or encoded, by its base class.</summary>
/// <typeparam name="T">The generated request message.</typeparam>
public sealed class RpcReader<T> : RpcFrameReader
    where T : class, IMessage<T>, new()
{
    private readonly MessageParser<T> _parser;
    private T? _current;

    internal RpcReader(RpcContext context, PipeReader pipe, int limitBytes, bool gzip, MessageParser<T> parser)
        : base(context, pipe, limitBytes, gzip) => _parser = parser;

    /// <summary>The message of the last successful <see cref="MoveNextAsync"/> or <see cref="TryRead"/>.</summary>
    /// <exception cref="InvalidOperationException">No message has been read.</exception>
    public T Current => _current ?? throw new InvalidOperationException($"No {typeof(T).Name} has been read yet: call MoveNextAsync or TryRead first.");

    /// <summary>Waits for the next message.</summary>
    /// <returns>False when the client has sent its last one.</returns>
    /// <exception cref="RpcException">A frame or a message is malformed, too large or cut short.</exception>
    /// <exception cref="OperationCanceledException">The call has ended: client gone, deadline passed, server stopping.</exception>
    public ValueTask<bool> MoveNextAsync() => TryRead() ? new ValueTask<bool>(true) : MoveNextSlowAsync();

    /// <summary>Takes the next message if it has already arrived.</summary>
    /// <returns>Whether <see cref="Current"/> is a new message; false says nothing about the end.</returns>
    /// <exception cref="RpcException">A frame or a message is malformed or too large.</exception>
    public bool TryRead()
    {
        if (!TryReadFrame())
        {
            return false;
        }

        Parse();
        return true;
    }

    internal T Parse()
    {
        try
        {
            return _current = _parser.ParseFrom(Message);
        }
        catch (InvalidProtocolBufferException e)
        {
            // Derives from IOException: left alone it would look like a client that went away.
            throw new RpcException(RpcCode.Internal, $"The request is not a valid {typeof(T).Name}: {e.Message}", inner: e);
        }
    }

    private async ValueTask<bool> MoveNextSlowAsync()
    {
        if (!await ReadFrameAsync().ConfigureAwait(false))
        {
            return false;
        }

        Parse();
        return true;
    }
}
