using System.Text;
using EventVault.Storage.Index;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Index;

/// <summary>Which keys an event has: they stand in files, so they may never change.</summary>
public sealed class EventKeysTests
{
    private static readonly SipKey Key = SipKey.FromBytes(Convert.FromHexString("000102030405060708090A0B0C0D0E0F"));

    [Fact]
    public void An_event_has_the_keys_of_its_category_type_tags_pairs_correlation_and_id()
    {
        byte[] bytes = Encoded.Event(0x0102, "Größe", "{}"u8, ["a", "bé"], [("traceparent", "x"), ("correlationId", "c-1")]);
        ulong[] wanted =
        [
            Hash(1, "order"), Hash(2, "Größe"), Hash(3, "a"), Hash(3, "bé"),
            Hash(4, "\u0007\0Größea"), Hash(4, "\u0007\0Größebé"), Hash(5, "c-1"),
            Hash([6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]),
        ];
        Assert.Equal(wanted.Order(), Keys("order-1-2", bytes).Order());
    }

    [Fact]
    public void What_is_looked_for_has_the_same_keys()
    {
        ulong[] keys = Keys("order-1", Encoded.Event(258, "T", "{}"u8, ["a"], [("correlationId", "c")]));
        ulong[] sought =
        [
            EventKeys.OfCategory("order"u8, Key), EventKeys.OfType("T"u8, Key), EventKeys.OfTag("a"u8, Key),
            EventKeys.OfPair("T"u8, "a"u8, Key), EventKeys.OfCorrelation("c"u8, Key), EventKeys.OfId(258, Key),
        ];
        Assert.Equal(sought.Order(), keys.Order());
    }

    [Fact]
    public void Known_hashes_do_not_change()
    {
        // Worked out by an implementation of SipHash-2-4 in another language.
        Assert.Equal(0xFC8F48AFEB51AEE2ul, EventKeys.OfTag("a"u8, Key));
        Assert.Equal(0xACB54BE90159AEBCul, EventKeys.OfPair("T"u8, "a"u8, Key));
    }

    [Theory]
    [InlineData("$stream-deleted", 7)]
    [InlineData("$stream-tombstoned", 7)]
    [InlineData("$stream-truncated", 8)]
    public void What_is_done_to_a_stream_is_found_by_the_streams_name(string type, byte kind)
    {
        byte[] bytes = EventFields.Encode(9, Encoding.UTF8.GetBytes(type), "{\"stream\":\"größe-1\",\"before\":3}"u8, 1);
        ulong[] wanted = [EventKeys.OfCategory("$streams"u8, Key), EventKeys.OfId(9, Key), Hash(kind, "größe-1")];
        Assert.Equal(wanted.Order(), Keys("$streams", bytes).Order());
        Assert.Equal(Hash(kind, "größe-1"), kind == 7 ? EventKeys.OfEnd("größe-1"u8, Key) : EventKeys.OfTruncation("größe-1"u8, Key));

        // Only there, and only of the schema that is known.
        Assert.DoesNotContain(Hash(kind, "größe-1"), Keys("streams", bytes));
        Assert.DoesNotContain(Hash(kind, "größe-1"), Keys("$other", bytes));
        Assert.Equal(2, Keys("$streams", EventFields.Encode(9, Encoding.UTF8.GetBytes(type), "{\"stream\":\"größe-1\",\"before\":3}"u8, 2)).Length);
    }

    [Fact]
    public void The_vaults_own_events_are_found_by_category_correlation_and_id_alone()
    {
        byte[] bytes = Encoded.Event(9, "$stream-deleted", "{}"u8, ["a"], [("correlationId", "c")]);
        ulong[] wanted = [EventKeys.OfCategory("$streams"u8, Key), EventKeys.OfCorrelation("c"u8, Key), EventKeys.OfId(9, Key)];
        Assert.Equal(wanted.Order(), Keys("$streams", bytes).Order());
    }

    [Theory]
    [InlineData("order-1-2", "order")]
    [InlineData("order", "order")]
    [InlineData("-1", "")]
    [InlineData("größe-", "größe")]
    public void A_category_ends_at_the_first_dash(string stream, string category) =>
        Assert.Equal(category, Encoding.UTF8.GetString(EventKeys.CategoryOf(Encoding.UTF8.GetBytes(stream))));

    [Fact]
    public void The_most_keys_are_as_many_as_there_is_room_for()
    {
        string[] tags = [.. Enumerable.Range(0, VaultLimits.Tags).Select(i => $"tag-{i}")];
        Assert.Equal(EventKeys.MostPerEvent, Keys("s-1", Encoded.Event(1, "T", ""u8, tags, [("correlationId", "c")])).Distinct().Count());
    }

    [Fact]
    public void Empty_and_missing_correlations_have_no_key_and_fields_may_come_in_any_order()
    {
        ulong[] without = Keys("s-1", Encoded.Event(1, "T", ""u8, metadata: [("k", "v")]));
        Assert.Equal(3, without.Length);
        Assert.Equal(without, Keys("s-1", Encoded.Event(1, "T", ""u8, metadata: [("correlationId", "")])));
        Assert.Equal(without, Keys("s-1", Encoded.Event(1, "T", "data"u8, metadata: [("CorrelationId", "c")])));

        // The entry's value before its key, and the metadata before the id.
        var entry = new List<byte>();
        Encoded.Delimited(entry, 2, "c"u8);
        Encoded.Delimited(entry, 1, "correlationId"u8);
        var bytes = new List<byte>();
        Encoded.Delimited(bytes, 7, [.. entry]);
        bytes.AddRange(Encoded.Event(1, "T", ""u8));
        Assert.Equal(without.Append(EventKeys.OfCorrelation("c"u8, Key)).Order(), Keys("s-1", [.. bytes]).Order());
    }

    [Fact]
    public void Bytes_that_are_no_event_have_the_keys_that_can_be_read()
    {
        var random = new Random(3);
        byte[] whole = Encoded.Event(1, "T", "data"u8, ["a", "b"], [("correlationId", "c")], 5);
        for (int i = 0; i < 2000; i++)
        {
            byte[] bytes = [.. whole];
            for (int changes = random.Next(4); changes > 0; changes--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            Assert.InRange(Keys("s-1", bytes[..random.Next(bytes.Length + 1)]).Length, 2, EventKeys.MostPerEvent);
        }
    }

    // Each thread knows the keys of types and categories that it has come across, and of which vault they are.
    [Fact]
    public void Types_and_categories_that_come_again_have_the_keys_that_they_had()
    {
        var random = new Random(4);
        var names = Enumerable.Range(0, 200).Select(i => new string((char)('a' + (i % 26)), 1 + (i % 70)) + (i / 26)).ToArray();
        var other = new SipKey(Key.K0 + 1, Key.K1);
        for (int i = 0; i < 20_000; i++)
        {
            string type = names[random.Next(names.Length)];
            string category = random.Next(3) == 0 ? type : names[random.Next(1 + random.Next(names.Length))];
            SipKey key = random.Next(50) == 0 ? other : Key;
            var found = new ulong[EventKeys.MostPerEvent];
            var view = new EventView(Encoding.UTF8.GetBytes(category + "-1"), Encoded.Event(1, type, ""u8), new Position(0), new StreamVersion(0), 1, 0, 0);
            int count = EventKeys.Of(view, key, found);
            ulong[] expected = [EventKeys.OfCategory(Encoding.UTF8.GetBytes(category), key), EventKeys.OfType(Encoding.UTF8.GetBytes(type), key)];
            Assert.Equal(expected, expected.Intersect(found[..count]));
        }
    }

    private static ulong[] Keys(string stream, byte[] eventData)
    {
        var keys = new ulong[EventKeys.MostPerEvent];
        var view = new EventView(Encoding.UTF8.GetBytes(stream), eventData, new Position(0), new StreamVersion(0), 1, 0, 0);
        return keys[..EventKeys.Of(view, Key, keys)];
    }

    private static ulong Hash(byte kind, string text) => Hash([kind, .. Encoding.UTF8.GetBytes(text)]);

    private static ulong Hash(byte[] bytes) => (ulong)SipHash128.Compute(bytes, Key);
}
