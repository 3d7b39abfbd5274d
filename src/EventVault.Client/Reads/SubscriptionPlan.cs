namespace EventVault.Client;

/// <summary>
/// A subscription to one stream, or to all. Resumes by position in either case: progress moves it on where no event
/// of the stream does.
/// </summary>
internal sealed class SubscriptionPlan(string? stream, SubscribeOptions options, SeenPosition seen) : ReadPlan<Protocol.SubscribeRequest>
{
    // The first position that is not delivered yet; null: the start is still what the options say.
    private ulong? _next;

    // What the client had seen when it asked.
    private ulong? _seenBefore;

    public override bool IsComplete => false;

    public override bool IsEndless => true;

    public override TimeSpan? GiveUpAfter => options.GiveUpAfter;

    public override Action<VaultException>? Interrupted => options.Interrupted;

    public override Protocol.SubscribeRequest NextRequest()
    {
        _seenBefore = seen.Position;
        var request = new Protocol.SubscribeRequest { IncludeSystem = options.IncludeSystem, Filter = options.Filter?.ToMessage() };
        if (stream is null)
        {
            request.All = new Protocol.Empty();
        }
        else
        {
            request.Stream = stream;
        }

        if (_next is { } next)
        {
            request.From = new Protocol.ReadBound { Position = next };
        }
        else if (options.FromEnd)
        {
            request.End = new Protocol.Empty();
        }
        else if (options.From is { } from)
        {
            request.From = from.ToMessage();
        }

        return request;
    }

    public override ReadHead Begin(ReadHead head)
    {
        if (!options.FromEnd)
        {
            return head;
        }

        // The node may be behind what this client had seen, which is no news to it. The head says so, too: whoever reads up to it and
        // then listens misses nothing in between. What the client has seen since it asked came behind the head.
        ReadHead told = _seenBefore is { } before && !(head.LastPosition >= before) ? head with { LastPosition = before } : head;
        _next = told.LastPosition is { } last ? last + 1 : 0;
        return told;
    }

    public override void Accept(EventPage page)
    {
        int skip = 0;
        int keep = 0;
        foreach (RawEvent e in page)
        {
            if (e.Position >= (_next ?? 0))
            {
                keep++;
                _next = e.Position + 1;
            }
            else if (keep == 0)
            {
                skip++;
            }
            else
            {
                throw VaultErrors.ProtocolViolation($"the event at position {e.Position} came behind the one at {_next - 1}");
            }
        }

        page.SkipFirst(skip);
    }

    public override bool AcceptProgress(ulong? position)
    {
        ulong next = position is { } through ? through + 1 : 0;
        if (next < (_next ?? 0))
        {
            return false;
        }

        if (position is not null)
        {
            _next = next;
        }

        return true;
    }
}
