using System.ComponentModel;
using System.Diagnostics;
using EventVault.Admin;

if (args is ["backup", ..])
{
    BeLessUrgent();
}

return await AdminCommandLine.RunAsync(args);

// A backup has time, and a node on the same machine has none. Before there are other threads: on Linux only this one changes, and those that it begets.
static void BeLessUrgent()
{
    try
    {
        using var self = Process.GetCurrentProcess();
        if (self.PriorityClass == ProcessPriorityClass.Normal)
        {
            self.PriorityClass = ProcessPriorityClass.BelowNormal;
        }
    }
    catch (Win32Exception)
    {
        // Where the system does not allow it, the backup is as urgent as all else.
    }
}
