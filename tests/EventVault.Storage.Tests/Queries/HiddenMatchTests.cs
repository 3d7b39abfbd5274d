using System.Text;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Queries;

/// <summary>Conditions whose matches were deleted: what was read for nothing is stepped over from then on.</summary>
public sealed class HiddenMatchTests
{
    [Fact]
    public void What_a_condition_found_hidden_is_not_read_again()
    {
        const int Gone = 300;
        var vault = new SmallVault();
        for (var i = 0; i < Gone; i++)
        {
            vault.Write(vault.Event("gone-1", Encoding.UTF8.GetBytes($"<{i}>".PadRight(400, '.'))));
        }

        Write(vault, 1000, "Other");
        vault.Write(vault.Change(StreamChangeKind.Delete, "gone-1"));
        vault.Flush();
        vault.StepAll();
        Assert.NotEqual(0, vault.Storage.SegmentCounts.Sealed);
        Assert.Equal(Position.None, Last(vault, "T"));
        Assert.Equal(vault.Storage.SegmentCounts.Sealed, vault.Storage.Reader.KnownBarren);

        // Whoever reads one of them now says so.
        Damage(vault, $"<{Gone / 10}>");
        Damage(vault, $"<{Gone / 2}>");
        Assert.Equal(Position.None, Last(vault, "T"));
        Assert.Throws<DamageException>(() => Last(vault, "T", "Never"));

        // What comes behind them is found, and what is deleted then is added to what is known.
        Write(vault, 1001, "T");
        vault.Flush();
        Assert.Equal(vault.Storage.Head, Last(vault, "T"));
        vault.Write(vault.Change(StreamChangeKind.Delete, "other-1"));
        vault.Flush();
        Assert.Equal(Position.None, Last(vault, "T"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Conditions_between_deletions_find_what_a_plain_list_has(int seed)
    {
        var random = new Random(seed);
        var vault = new SmallVault(seed: seed);
        var known = 0;
        for (var step = 0; step < 150; step++)
        {
            var stream = $"s-{random.Next(4)}";
            for (var i = random.Next(1, 12); i > 0; i--)
            {
                var id = new UInt128((ulong)random.NextInt64(), (ulong)random.NextInt64());
                vault.Write(new ModelAppend(id, [(stream, ExpectedKind.Any, -1, [LabelledEvent.Event(id, new byte[random.Next(300)])])]));
            }

            if (random.Next(4) == 0)
            {
                var (first, last) = (vault.Model.Lives.GetValueOrDefault(stream).First, vault.Model.Versions[stream]);
                vault.Write(last > first && random.Next(3) == 0 ? vault.Change(StreamChangeKind.Truncate, stream, random.NextInt64(first, last) + 1) : vault.Change(StreamChangeKind.Delete, stream));
            }

            vault.Flush();
            vault.StepAll();
            for (var i = 0; i < 12; i++)
            {
                var filter = new ModelFilter("", "", ModelFilter.RandomItems(random), "", null);
                var after = random.Next(3) == 0 ? random.Next(-1, vault.Model.Count) : -1;
                QueryModel.CheckMatch(vault.Model, filter, after, vault.Storage.Reader.LastMatch(filter.For(vault.Storage), new Position(after), out _));
            }

            known = Math.Max(known, vault.Storage.Reader.KnownBarren);
        }

        Assert.InRange(known, 20, int.MaxValue);
    }

    private static Position Last(SmallVault vault, params string[] types) => vault.Storage.Reader.LastMatch(
        EventFilter.Create(vault.Storage, default, default, [new QueryItem([.. types.Select(t => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(t))], [])], default, eventId: null),
        Position.None, out _);

    private static void Write(SmallVault vault, int id, string type) =>
        vault.Write(new ModelAppend((UInt128)id, [("other-1", ExpectedKind.Any, -1, [Encoded.Event((UInt128)id, type, new byte[100])])]));

    private static void Damage(SmallVault vault, string data)
    {
        var wanted = Encoding.UTF8.GetBytes(data);
        foreach (var path in vault.Files.AllFiles().Where(f => f.EndsWith(".seg", StringComparison.Ordinal)))
        {
            using var file = vault.Files.OpenFile(path, FileOpening.ReadExisting);
            var bytes = new byte[file.Length];
            file.Read(0, bytes);
            if (bytes.AsSpan().IndexOf(wanted) is var at and >= 0)
            {
                vault.Files.FlipBit(path, at, 0);
                return;
            }
        }

        Assert.Fail($"{data} is in no segment.");
    }
}
