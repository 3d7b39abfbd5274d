using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Tests.Log;

/// <summary>Compares the lives of streams, last versions and names as of positions with what a plain list says.</summary>
internal static class LivesCheck
{
    private const int Streams = 6;
    private const int Cuts = 8;

    /// <summary>Some streams, mostly such that were changed, at some positions; and the names at one.</summary>
    public static void Some(VaultStorage storage, VaultModel model, Random random)
    {
        var names = model.Versions.Keys.Where(n => random.Next(4) == 0 || model.Lives.ContainsKey(n)).OrderBy(_ => random.Next()).Take(Streams).ToList();
        foreach (var stream in names)
        {
            for (var i = 0; i < Cuts; i++)
            {
                // Some right beside a change: there a slip of one shows.
                var changes = model.Events.FindAll(e => e.Append.Change?.Stream == stream);
                var cut = changes.Count > 0 && random.Next(2) == 0 ? changes[random.Next(changes.Count)].Position + random.Next(-1, 2) : random.Next(-1, model.Count);
                Check(storage, model, stream, Math.Min(cut, model.Count - 1));
            }
        }

        Names(storage, model, random.Next(-1, model.Count), random);
    }

    /// <summary>Every stream at every position.</summary>
    public static void All(VaultStorage storage, VaultModel model)
    {
        foreach (var stream in model.Versions.Keys)
        {
            for (var cut = -1; cut < model.Count; cut++)
            {
                Check(storage, model, stream, cut);
            }
        }
    }

    public static void Check(VaultStorage storage, VaultModel model, string stream, long cut)
    {
        var reference = storage.Reader.Reference(Encoding.UTF8.GetBytes(stream));
        var expected = Expected(model, stream, cut);
        var found = storage.Reader.LifeAt(reference, new Position(cut));
        Assert.True(expected == found, $"The life of {stream} at {cut} is {found}, not {expected}.");

        var last = model.Events.FindLast(e => e.Stream == stream && e.Position <= cut)?.Version ?? -1;
        var version = storage.Reader.LastVersionAt(reference, new Position(cut)).Value;
        var isScavenged = storage.View.Sealed.Any(s => s.Scavenged is not null);
        Assert.True(
            version == last || (isScavenged && version > last && version < model.Lives.GetValueOrDefault(stream).First),
            $"The last version of {stream} at {cut} is {version}, not {last}.");
        if (version >= found.FirstKept.Value && !found.IsScavenged)
        {
            Assert.Equal(last, version); // What is still there is exact.
        }
    }

    private static StreamLifeAt Expected(VaultModel model, string stream, long cut)
    {
        var (first, began, endedAt) = (0L, -1L, -1L);
        var changes = model.Events.FindAll(e => e.Stream == "$streams" && e.Append.Change?.Stream == stream);
        foreach (var end in changes.Where(e => e.Append.Change!.Kind != StreamChangeKind.Truncate))
        {
            if (end.Position <= cut)
            {
                (first, began) = (end.Append.Change!.Before, end.Position);
            }
            else
            {
                endedAt = end.Position;
                break;
            }
        }

        var kept = changes.Where(e => e.Append.Change!.Kind == StreamChangeKind.Truncate && e.Position > began && (endedAt < 0 || e.Position < endedAt))
            .Select(e => e.Append.Change!.Before).Append(first).Max();
        var isScavenged = endedAt >= 0 && model.Events.Exists(e => e.Position > endedAt && e.Append.Scavenge == ScavengeChange.Start);
        return new StreamLifeAt(new StreamVersion(first), new Position(endedAt), new StreamVersion(kept), isScavenged, model.Lives.GetValueOrDefault(stream).IsTombstoned);
    }

    private static void Names(VaultStorage storage, VaultModel model, long cut, Random random)
    {
        var names = new List<string>();
        byte[]? after = [];
        var most = random.Next(1, 20);
        while (after is not null)
        {
            var page = storage.Streams.ListAsOf(default, new Position(cut), after, most, mostLooks: 30, out var lookedUntil);
            Assert.True(page.Count <= most);
            names.AddRange(page.Select(n => Encoding.UTF8.GetString(n)));
            after = lookedUntil ?? (page.Count == most ? page[^1] : null);
        }

        var firsts = model.Events.Where(e => e.Version == 0 && e.Stream[0] != '$').ToDictionary(e => e.Stream, StringComparer.Ordinal);

        // Where a first event stood that was taken away is not known on every node, so such streams are named at all positions.
        var expected = firsts.Values.Where(e => e.Position <= cut || Expected(model, e.Stream, e.Position) is { IsScavenged: true } or { FirstKept.Value: > 0 });
        Assert.Equal(expected.Select(e => e.Stream).Order(StringComparer.Ordinal), names);
    }
}
