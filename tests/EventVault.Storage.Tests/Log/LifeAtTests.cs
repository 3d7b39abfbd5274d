using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Tests.Log;

/// <summary>The lives of streams as of a position, beside a plain list, and that they stay what they were as history goes on.</summary>
public sealed class LifeAtTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void At_every_position_the_life_is_what_a_plain_list_says_and_stays_so(int seed)
    {
        var random = new Random(seed);
        var vault = new SmallVault(seed: seed);
        var told = new Dictionary<(string Stream, long Cut), StreamLifeAt>();
        var (scavenges, restarts) = (0, 0);
        for (var i = 0; i < 260; i++)
        {
            switch (random.Next(60))
            {
                case < 34:
                    Append(vault, random);
                    break;
                case < 54:
                    Change(vault, random);
                    break;
                case < 56:
                    vault.Flush();
                    vault.StepAll();
                    break;
                case < 58 when scavenges < 3:
                    vault.ScavengeAll();
                    scavenges++;
                    break;
                default:
                    Restart(vault, random);
                    restarts++;
                    break;
            }

            vault.Flush();
            Compare(vault, random, told);
        }

        LivesCheck.All(vault.Storage, vault.Model);
        Assert.True(scavenges > 0 && restarts > 2 && vault.Storage.SegmentCounts.Sealed > 2, $"{scavenges} scavenges, {restarts} restarts, {vault.Storage.SegmentCounts}");
        Assert.Contains(told.Values, l => l is { IsScavenged: true });
        Assert.Contains(told.Values, l => l is { IsScavenged: false } && l.EndedAt > Position.None);
        Assert.Contains(told.Values, l => l.FirstKept > l.First && l.First.Value > 0);

        vault.Stop();
        foreach (var name in vault.Files.ListFiles(SmallVault.Directory + "/index"))
        {
            vault.Files.DeleteFile($"{SmallVault.Directory}/index/{name}");
        }

        vault.Reopen();
        LivesCheck.All(vault.Storage, vault.Model);
    }

    [Fact]
    public void A_stream_that_is_whole_or_unknown_and_the_vaults_own_have_one_life()
    {
        var vault = new SmallVault();
        vault.Append("a", 10);
        vault.Append("b", 10);
        vault.Write(vault.Change(StreamChangeKind.Delete, "b"));
        vault.Flush();
        foreach (var name in (string[])["a", "none", "$streams"])
        {
            var stream = vault.Storage.Reader.Reference(System.Text.Encoding.UTF8.GetBytes(name));
            Assert.Equal(StreamLifeAt.Whole, vault.Storage.Reader.LifeAt(stream, vault.Storage.Head));
        }

        Assert.Equal(StreamVersion.None, vault.Storage.Reader.LastVersionAt(vault.Storage.Reader.Reference("none"u8), vault.Storage.Head));
    }

    // A scavenge that was only started takes what was deleted before it, on every node, rewritten or not; and no more.
    [Fact]
    public void What_a_started_scavenge_takes_is_gone_at_once()
    {
        var vault = new SmallVault();
        foreach (var name in (string[])["a", "b"])
        {
            vault.Append(name, 10);
        }

        vault.Write(vault.Change(StreamChangeKind.Delete, "a"));
        vault.Flush();
        var (a, b) = (vault.Storage.Reader.Reference("a"u8), vault.Storage.Reader.Reference("b"u8));
        Assert.False(vault.Storage.Reader.LifeAt(a, new Position(0)).IsScavenged);
        vault.Write(vault.Scavenge());
        vault.Write(vault.Change(StreamChangeKind.Delete, "b"));
        vault.Flush();
        Assert.True(vault.Storage.Reader.LifeAt(a, new Position(0)).IsScavenged);
        Assert.False(vault.Storage.Reader.LifeAt(b, new Position(1)).IsScavenged);
        vault.Write(vault.Scavenge(ScavengeChange.Stop));
        vault.Flush();
        Assert.True(vault.Storage.Reader.LifeAt(a, new Position(0)).IsScavenged);
    }

    // Earlier versions of EventVault wrote a truncation as it was asked for, also where an earlier one had taken more.
    [Fact]
    public void What_was_truncated_stays_so_whatever_truncations_of_less_stand_behind()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 20; i++)
        {
            vault.Append("a", 10);
        }

        foreach (var before in (int[])[3, 12, 0, 5])
        {
            Truncate(before);
        }

        Reopen();
        Check(new Position(7), first: 0, kept: 12);
        vault.Write(vault.Change(StreamChangeKind.Delete, "a"));
        vault.Flush();
        var deleted = vault.Storage.Head;
        for (var i = 0; i < 5; i++)
        {
            vault.Append("a", 10);
        }

        Truncate(23);
        Truncate(1);
        Reopen();
        Check(new Position(7), first: 0, kept: 12);
        Check(deleted, first: 20, kept: 23);
        Check(vault.Storage.Head, first: 20, kept: 23);

        void Truncate(long before)
        {
            var last = vault.Model.Versions.GetValueOrDefault("$streams", -1);
            vault.Write(new ModelAppend((UInt128)(1000 + vault.Model.Count), [("$streams", ExpectedKind.Exact, last, [StreamLifeEvent.Encode(1, StreamChangeKind.Truncate, "a"u8, new StreamVersion(before))])]));
            vault.Flush();
        }

        // What this version does not write it reads.
        void Reopen()
        {
            vault.Stop();
            vault.Reopen();
        }

        void Check(Position cut, long first, long kept)
        {
            var life = vault.Storage.Reader.LifeAt(vault.Storage.Reader.Reference("a"u8), cut);
            Assert.Equal((first, kept), (life.First.Value, life.FirstKept.Value));
        }
    }

    // What is said of a position is never taken back: only more of it becomes known.
    private static void Compare(SmallVault vault, Random random, Dictionary<(string Stream, long Cut), StreamLifeAt> told)
    {
        if (vault.Model.Count == 0)
        {
            return;
        }

        for (var n = 0; n < 6; n++)
        {
            var key = told.Count > 100 && random.Next(2) == 0 ? told.Keys.ElementAt(random.Next(told.Count)) : ($"s-{random.Next(4)}", random.Next(vault.Model.Count));
            var now = vault.Storage.Reader.LifeAt(vault.Storage.Reader.Reference(System.Text.Encoding.UTF8.GetBytes(key.Item1)), new Position(key.Item2));
            LivesCheck.Check(vault.Storage, vault.Model, key.Item1, key.Item2);
            if (told.TryGetValue(key, out var before))
            {
                Assert.Equal(before.First, now.First);
                Assert.True(before.EndedAt == Position.None || before.EndedAt == now.EndedAt);
                Assert.True(before.EndedAt > Position.None ? now.FirstKept == before.FirstKept : now.FirstKept >= before.FirstKept);
                Assert.True(now.IsScavenged || !before.IsScavenged);
            }

            told[key] = now;
        }
    }

    private static void Append(SmallVault vault, Random random)
    {
        var stream = $"s-{random.Next(4)}";
        if (!vault.Model.Lives.GetValueOrDefault(stream).IsTombstoned)
        {
            vault.Write(vault.Event(stream, random.Next(6000)));
        }
    }

    private static void Change(SmallVault vault, Random random)
    {
        var streams = vault.Model.Versions.Keys.Where(s => s[0] != '$' && vault.Model.HasEvents(s) && !vault.Model.Lives.GetValueOrDefault(s).IsTombstoned).ToList();
        if (streams.Count > 0)
        {
            var stream = streams[random.Next(streams.Count)];
            var kind = random.Next(40) switch { 0 => StreamChangeKind.Tombstone, < 14 => StreamChangeKind.Delete, _ => StreamChangeKind.Truncate };
            var before = random.NextInt64(0, vault.Model.Versions[stream] + 2);
            vault.Write(kind == StreamChangeKind.Truncate && random.Next(2) == 0 ? vault.Anchored(stream, before, "$state-x", $"$state-{stream}") : vault.Change(kind, stream, before));
        }
    }

    private static void Restart(SmallVault vault, Random random)
    {
        vault.Flush();
        if (random.Next(2) == 0)
        {
            vault.Stop();
        }
        else
        {
            vault.Kill();
        }

        // Some or none of what can be made again.
        foreach (var name in vault.Files.ListFiles(SmallVault.Directory + "/index").Where(_ => random.Next(3) == 0).ToList())
        {
            vault.Files.DeleteFile($"{SmallVault.Directory}/index/{name}");
        }

        vault.Reopen();
    }
}
