using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Temporal;

/// <summary>Takes the events of a stream one after the other, none left out.</summary>
internal interface IVersionSink
{
    /// <summary>The version that it takes next.</summary>
    long Next { get; }

    /// <summary>Takes it, and goes on to the one behind it; false if it should be the last one of this page.</summary>
    bool Take(in EventView e);
}

/// <summary>Reads the events of a stream, those that reads of now hide included.</summary>
internal static class VersionReader
{
    /// <summary>Hands the sink a page, from its next version on.</summary>
    /// <exception cref="StreamChangedException">The next one is gone: a state without it would be wrong, and nobody would know.</exception>
    public static void ReadPage<TSink>(EventReader reader, in StreamReference stream, long from, long last, ref TSink sink)
        where TSink : struct, IVersionSink
    {
        var checkedSink = new Checked<TSink>(sink);
        reader.ReadWritten(stream, new StreamVersion(from), new StreamVersion(last), ref checkedSink);
        sink = checkedSink.Inner;
        if (sink.Next == from || checkedSink.HasGap)
        {
            throw new StreamChangedException();
        }
    }

    private struct Checked<TSink>(TSink inner) : IEventSink
        where TSink : struct, IVersionSink
    {
        public TSink Inner = inner;

        public bool HasGap { get; private set; }

        public bool Accept(in EventView e)
        {
            HasGap = e.Version.Value != Inner.Next;
            return !HasGap && Inner.Take(e);
        }
    }
}
