using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Tests.Log;

/// <summary>Compares the key files of a vault's sealed segments with the keys of the model's events.</summary>
internal static class KeysCheck
{
    /// <summary>Every sealed segment: each event is found by each of its keys, and nothing else is there.</summary>
    public static void All(VaultStorage storage, VaultModel model)
    {
        foreach (var segment in storage.View.Sealed)
        {
            var keys = segment.Keys;
            keys.CheckAll();
            var first = (int)segment.FirstPosition.Value;
            var distinct = new HashSet<ulong>();
            long postings = 0;
            foreach (var e in model.Events.Skip(first).Take((int)segment.Record.EventCount))
            {
                if (segment.Index.OffsetOf((uint)(e.Position - first)) == 0)
                {
                    Assert.True(!model.IsVisible(e) && segment.Scavenged is not null, "A scavenge removes what is hidden, and nothing else does.");
                    continue;
                }

                var ofEvent = Of(e, storage);
                postings += ofEvent.Length;
                distinct.UnionWith(ofEvent);
                Event(keys, ofEvent, e, first);
            }

            Assert.Equal((distinct.Count, postings), (keys.KeyCount, keys.PostingCount));
        }
    }

    /// <summary>One event, if its segment is sealed: it is found by each of its keys.</summary>
    public static void Event(VaultStorage storage, ModelEvent e)
    {
        if (storage.View.Sealed.LastOrDefault(s => s.FirstPosition.Value <= e.Position) is { } segment
            && e.Position <= segment.Record.LastPosition.Value)
        {
            Event(segment.Keys, Of(e, storage), e, (int)segment.FirstPosition.Value);
        }
    }

    private static void Event(SealedKeys keys, ulong[] ofEvent, ModelEvent e, int first)
    {
        foreach (var key in ofEvent)
        {
            Assert.True(keys.TryFind(key, out var postings) && postings.Contains((uint)(e.Position - first)), $"Event {e.Position} is not found by one of its keys.");
        }
    }

    private static ulong[] Of(ModelEvent e, VaultStorage storage)
    {
        var keys = new ulong[EventKeys.MostPerEvent];
        var view = new EventView(e.Name, e.Bytes, new Position(e.Position), new StreamVersion(e.Version), e.RecordedAt, 0, 0);
        return [.. keys[..EventKeys.Of(view, storage.Meta.SipKey, keys)].Distinct()];
    }
}
