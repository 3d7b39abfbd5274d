using EventVault.Raft;
using EventVault.Storage;
using EventVault.Storage.Log;
using LogIndex = EventVault.Raft.LogIndex;
using StoredIndex = EventVault.Storage.LogIndex;

namespace EventVault.Node.Replication;

/// <summary>The groups of the message that is being taken, checked. One thread.</summary>
internal sealed class ReceivedGroups(VaultStorage storage)
{
    private byte[][] _groups = [];
    private LogIndex _from;

    /// <summary>Whether no message with groups is being taken.</summary>
    public bool IsEmpty => _groups.Length == 0;

    /// <summary>The bytes of one of them.</summary>
    public byte[] Bytes(LogIndex index) => _groups[index.Value - _from.Value];

    /// <summary>The message was taken.</summary>
    public void Clear() => _groups = [];

    /// <summary>
    /// Checks the groups of an Append and makes its entries from them. What does not fit the log yet is left out, as if fewer had been sent; the
    /// leader sends it again.
    /// </summary>
    /// <returns>False: the message is not to be taken.</returns>
    public bool TryTake(in PeerMessage message, RaftCore core, out Message raft)
    {
        raft = message.Raft;
        var entries = new Entry[message.Groups.Length];
        var count = 0;
        LogIndex? firstNew = null;
        var opened = 0;
        for (; count < entries.Length; count++)
        {
            var index = raft.Index + (ulong)count + 1;
            if (!TryInspect(message.Groups[count], out var group) || group.Index.Value != index.Value || !LogEntries.TryEntryOf(group, out entries[count])
                || entries[count].Term != raft.Entries[count].Term)
            {
                return false;
            }

            if (firstNew is null && core.TermAt(index) != entries[count].Term)
            {
                firstNew = index;
            }

            // What stands there from the first new one on will be cut off, and its segments with it.
            if (firstNew is { } first && group.OpensSegment && !storage.Tail.CanOpenSegment(new StoredIndex(first.Value - 1), opened++))
            {
                break;
            }
        }

        if (count == 0 && entries.Length > 0)
        {
            return false;
        }

        _groups = message.Groups;
        _from = raft.Index + 1;
        raft = raft with { Entries = entries[..count] };
        return true;
    }

    // A leader of a later version may send what this one can't read: not taken, and the node goes on.
    private bool TryInspect(byte[]? bytes, out StoredGroup group)
    {
        group = default;
        try
        {
            return bytes is not null && storage.TryInspect(bytes, out group);
        }
        catch (UnsupportedFormatException)
        {
            return false;
        }
    }
}
