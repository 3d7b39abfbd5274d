using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace EventVault.Storage.Io;

/// <summary>
/// An open file descriptor. The runtime counts the calls that use it and closes after the last one, so that no
/// thread ever reads or writes a number that meanwhile means another file.
/// </summary>
internal sealed class Descriptor : SafeHandleMinusOneIsInvalid
{
    private Descriptor(int number)
        : base(ownsHandle: true) => SetHandle(number);

    /// <summary>What close reported; 0: nothing, or not closed yet.</summary>
    internal int CloseError { get; private set; }

    /// <summary>Opens a path; throws <see cref="DiskException"/>.</summary>
    internal static Descriptor Open(string path, int flags)
    {
        var descriptor = TryOpen(path, flags, out var error);
        return descriptor ?? throw NativeMethods.Failure("open", path, error);
    }

    /// <summary>Opens a path, or tells the errno.</summary>
    internal static Descriptor? TryOpen(string path, int flags, out int error)
    {
        // Owner and group only: the events of a vault are nobody else's business.
        const uint Mode = 0x1A0; // 0640
        while (true)
        {
            var number = NativeMethods.Open(path, flags | NativeMethods.CloseOnExec, Mode);
            if (number >= 0)
            {
                error = 0;
                return new Descriptor(number);
            }

            error = Marshal.GetLastPInvokeError();
            if (error != NativeMethods.Interrupted)
            {
                return null;
            }
        }
    }

    /// <summary>A second descriptor of the same file, whatever its path names by now; null if refused.</summary>
    internal Descriptor? TryReopen(int flags)
    {
        var held = false;
        try
        {
            // Held, because a number that was closed meanwhile could already stand for another file.
            DangerousAddRef(ref held);
            return TryOpen($"/proc/self/fd/{(int)handle}", flags, out _);
        }
        finally
        {
            if (held)
            {
                DangerousRelease();
            }
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        if (NativeMethods.Close((int)handle) == 0)
        {
            return true;
        }

        // Linux has given the number back even when the call was interrupted: closing again could hit another file.
        var error = Marshal.GetLastPInvokeError();
        CloseError = error == NativeMethods.Interrupted ? 0 : error;
        return CloseError == 0;
    }
}
