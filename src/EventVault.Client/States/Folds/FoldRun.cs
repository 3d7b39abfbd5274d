using System.Runtime.CompilerServices;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>One run of an application's fold over a stream. Used once, by one caller at a time.</summary>
internal sealed class FoldRun<TState>
{
    private readonly StreamedCalls _streamed;
    private readonly SeenPosition _seen;
    private readonly Fold<TState> _fold;
    private readonly string _stream;
    private readonly AsOf _asOf;
    private readonly StateOptions _options;
    private readonly PinnedCut _pinned;
    private readonly FoldKeeper<TState> _keeper;
    private readonly EventPage _page = new();
    private Protocol.FoldHead? _head;
    private TState _state;
    private bool _callHasHead;
    private bool _asksForKept = true;
    private ulong _next;
    private ulong? _keptVersion;
    private ulong _folded;

    public FoldRun(
        VaultCalls calls, StreamedCalls streamed, SeenPosition seen, Fold<TState> fold, string stream, AsOf asOf, StateOptions options)
    {
        (_streamed, _seen, _fold, _stream, _asOf, _options) = (streamed, seen, fold, stream, asOf, options);
        _pinned = new PinnedCut(asOf.ToMessage(), options.Consistency, seen);
        _keeper = new FoldKeeper<TState>(calls, fold, stream);
        _state = fold.Initial();
    }

    /// <summary>Folds all events, and has the vault keep states on the way.</summary>
    public async Task<FoldedState<TState>> ToEndAsync(CancellationToken cancellation)
    {
        await foreach (ReadOnlyMemory<byte> events in PagesAsync(from: ulong.MaxValue, cancellation).ConfigureAwait(false))
        {
            _page.ReadEvents(events);
            for (int i = 0; i < _page.Count; i++)
            {
                Apply(_page[i]);
            }

            if (!_head!.HasPartialFromVersion)
            {
                await _keeper.KeepAsync(_state, _head.FirstVersion, _next, cancellation).ConfigureAwait(false);
            }
        }

        return new FoldedState<TState>
        {
            Stream = _stream,
            Exists = _head!.Exists,
            Deleted = _head.Deleted,
            Version = _head.HasLastVersion ? _head.LastVersion : null,
            State = _state,
            Cut = _pinned.Cut,
            PartialFromVersion = _head.HasPartialFromVersion ? _head.PartialFromVersion : null,
            EventsFolded = _folded,
            KeptVersion = _keptVersion,
        };
    }

    /// <summary>Folds all events, and shows the state after each of those from a version on.</summary>
    public async IAsyncEnumerable<FoldStep<TState>> StepAsync(ulong from, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (ReadOnlyMemory<byte> events in PagesAsync(from, cancellation).ConfigureAwait(false))
        {
            _page.ReadEvents(events);
            for (int i = 0; i < _page.Count; i++)
            {
                if (Apply(_page[i]) is { } applied && applied.Version >= from)
                {
                    yield return new FoldStep<TState>(_state, applied);
                }
            }
        }
    }

    // Null: it went into the state before the call was begun again.
    private RecordedEvent? Apply(in RawEvent raw)
    {
        if (raw.Version < _next)
        {
            return null;
        }

        RecordedEvent e = raw.ToEvent();
        _state = _fold.Apply(_state, e);
        _next = raw.Version + 1;
        _folded++;
        _keeper.Folded(raw.Wire.Length);
        return e;
    }

    // The lists of events as they come, encoded; valid until the next one is asked for.
    private async IAsyncEnumerable<ReadOnlyMemory<byte>> PagesAsync(ulong from, [EnumeratorCancellation] CancellationToken cancellation)
    {
        bool isComplete;
        do
        {
            isComplete = true;
            await foreach (ReadOnlyMemory<byte> message in _streamed.RunAsync(VaultMethods.ReadForFold, NextRequest, _asOf.Wait, cancellation).ConfigureAwait(false))
            {
                (int field, ReadOnlyMemory<byte> content) = Content(message);
                if (field == 1)
                {
                    _callHasHead = true;
                    if (!TakeHead(content.Span, from))
                    {
                        // The kept state lies behind the first step: without one, from the first event.
                        (isComplete, _asksForKept) = (false, false);
                        break;
                    }
                }
                else if (field == 2)
                {
                    yield return _callHasHead ? content : throw VaultErrors.ProtocolViolation("events to be folded came before the head");
                }
            }
        }
        while (!isComplete);
        if (_head is null)
        {
            throw VaultErrors.ProtocolViolation("events to be folded came without a head");
        }
    }

    private Protocol.ReadForFoldRequest NextRequest(bool waits)
    {
        _callHasHead = false;
        return new Protocol.ReadForFoldRequest
        {
            Stream = _stream,
            Fold = _asksForKept ? _fold.WireName : "",
            AsOf = _pinned.Next(waits),
            Consistency = _pinned.Consistency(),
            AllowPartial = _options.AllowPartial,
        };
    }

    // False: what was kept is of no use.
    private bool TakeHead(ReadOnlySpan<byte> bytes, ulong from)
    {
        Protocol.FoldHead head;
        try
        {
            head = Protocol.FoldHead.Parser.ParseFrom(bytes);
        }
        catch (InvalidProtocolBufferException)
        {
            throw VaultErrors.ProtocolViolation("the head of events to be folded is malformed");
        }

        var cut = Cut.From(head.Cut);
        _seen.Observe(cut.Position);
        _pinned.Set(cut);
        if (_head is null)
        {
            _next = head.HasPartialFromVersion ? head.PartialFromVersion : head.FirstVersion;
        }
        else if (head.HasPartialFromVersion && head.PartialFromVersion > _next)
        {
            throw VaultErrors.From([new VaultFailure
            {
                Code = VaultErrorCode.IncompleteHistory,
                Stream = _stream,
                Message = $"Events of {_stream} were truncated while it was read, and the connection was lost. Ask again.",
            }]);
        }

        _head ??= head;
        if (!head.HasKeptVersion || head.KeptVersion < _next)
        {
            return true;
        }

        if (head.KeptVersion >= from)
        {
            return false;
        }

        _state = _fold.Restore(head.KeptState.Memory);
        (_keptVersion, _next) = (head.KeptVersion, head.KeptVersion + 1);
        _keeper.Restored(head.KeptState.Length);
        return true;
    }

    private static (int Field, ReadOnlyMemory<byte> Content) Content(ReadOnlyMemory<byte> message)
    {
        var reader = new WireReader(message.Span);
        while (reader.Next())
        {
            if (reader.Field is 1 or 2)
            {
                int length = reader.BytesField().Length;
                return (reader.Field, message.Slice(reader.Offset - length, length));
            }

            reader.Skip();
        }

        return (0, default);
    }
}
