using System.Diagnostics.CodeAnalysis;

namespace EventVault.Client;

/// <summary>
/// The range of a read and how far it has come. Events are placed by version in a stream, by position in the vault.
/// A resumed read must not show more than the first attempt would have: what came after its head stays out.
/// </summary>
internal sealed class ReadRange(ReadOptions options, bool byVersion)
{
    private readonly bool _backwards = options.Direction == Direction.Backwards;
    private ReadHead? _begunAt;
    private ulong? _head;
    private ulong? _last;
    private ulong _delivered;

    public bool IsComplete
    {
        get
        {
            if (options.Limit != 0 && _delivered >= options.Limit)
            {
                return true;
            }

            if (_begunAt is null)
            {
                return false;
            }

            if (_head is not { } head)
            {
                return true;
            }

            return _last is { } last
                && (last == (_backwards ? 0 : head) || (IsOwnKind(options.Until, out ulong until) && last == until));
        }
    }

    public ulong RemainingLimit => options.Limit == 0 ? 0 : options.Limit - _delivered;

    public Protocol.Direction WireDirection => _backwards ? Protocol.Direction.Backwards : Protocol.Direction.Forwards;

    public Protocol.ReadBound? Until => options.Until?.ToMessage();

    public Protocol.ReadBound? From => (_last is { } last ? At(Behind(last)) : BeginsAtHead(out ulong head) ? At(head) : options.From)?.ToMessage();

    public void Begin(ReadHead head)
    {
        _begunAt = head;
        _head = byVersion ? head.LastVersion : head.LastPosition;
    }

    public void Accept(EventPage page)
    {
        if (_head is not { } head)
        {
            throw VaultErrors.ProtocolViolation("events came although the head says that there are none");
        }

        int skip = 0;
        int keep = 0;
        foreach (RawEvent e in page)
        {
            ulong place = byVersion ? e.Version : e.Position;
            bool delivered = _last is { } last && (_backwards ? place >= last : place <= last);
            bool beyondHead = place > head;
            if (keep == 0 && (delivered || (beyondHead && _backwards)))
            {
                skip++;
                continue;
            }

            if (delivered)
            {
                throw VaultErrors.ProtocolViolation($"the event at {place} came behind the one at {_last}");
            }

            if (beyondHead || (options.Limit != 0 && _delivered == options.Limit))
            {
                break;
            }

            keep++;
            _delivered++;
            _last = place;
        }

        page.SkipFirst(skip);
        page.KeepFirst(keep);
    }

    // Backwards, what came after the head would come first and use up the limit. It is behind the head by each kind of bound: all of them rise in the log.
    private bool BeginsAtHead(out ulong head)
    {
        head = _head ?? 0;
        return _backwards && _begunAt is not null && _head is not null && (options.From is not { } from
            || (IsOwnKind(from, out ulong place) && place > head)
            || (byVersion && from.IsPosition(out ulong position) && position > _begunAt.LastPosition)
            || (from.IsTime(out DateTimeOffset time) && time >= _begunAt.RecordedAt));
    }

    private ReadBound? At(ulong place) => byVersion ? ReadBound.Version(place) : ReadBound.Position(place);

    private ulong Behind(ulong place) => _backwards ? place - 1 : place + 1;

    private bool IsOwnKind([NotNullWhen(true)] ReadBound? bound, out ulong place)
    {
        place = 0;
        return bound is { } b && (byVersion ? b.IsVersion(out place) : b.IsPosition(out place));
    }
}
